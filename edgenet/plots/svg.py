"""A figure as it stands in a page; the same figure gives the same text."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure


def svg(figure: Figure, salt: str = "edgenet") -> str:
    """From its <svg> on, without the date and the addresses that matplotlib puts in.

    Args:
        salt: goes into the names of its parts, which have to differ between the figures of one page.
    """
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(stream, format="svg")
    text = stream.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
