"""Convert a figure to SVG for a page; the same figure gives the same text."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure


def svg(figure: Figure, salt: str = "edgenet") -> str:
    """Return the figure's <svg> element, without the date and the web addresses that matplotlib adds.

    Args:
        figure: the figure.
        salt: text that goes into the ids of the figure's parts; they must differ between the figures of one
            page.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
