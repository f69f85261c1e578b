"""A report to a .png or a .html file; the same report gives the same bytes."""

from __future__ import annotations

import io
import re
from pathlib import Path

import matplotlib as mpl

from edgenet.files import write_atomically
from edgenet.plots.layer_figure import layer_figure
from edgenet.plots.layer_page import layer_page
from edgenet.plots.rows import Report

DOTS_PER_INCH = 150


def write_report(path: Path, report: Report) -> None:
    """Draws the report; a .html is one page with the figure inside and a table, anything else a PNG.

    Raises:
        EdgenetError: the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        page = layer_page(report, _svg(report))
        write_atomically(path, page.encode("utf-8", "replace"))
    else:
        write_atomically(path, _png(report))


def _png(report: Report) -> bytes:
    stream = io.BytesIO()
    layer_figure(report).savefig(stream, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return stream.getvalue()


def _svg(report: Report) -> str:
    """The figure for a page: from its <svg> on, without the date and the addresses that matplotlib puts in."""
    stream = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "edgenet"}):
        layer_figure(report).savefig(stream, format="svg")
    text = stream.getvalue()
    return re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
