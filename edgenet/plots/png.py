"""Convert a figure to PNG; the same figure gives the same bytes."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

DOTS_PER_INCH = 150


def png(figure: Figure) -> bytes:
    """Return the bytes of the figure's PNG file."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()
