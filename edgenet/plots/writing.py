"""Write a layer report to a .png or .html file; the same report gives the same bytes."""

from __future__ import annotations

from pathlib import Path

from edgenet.files import write_atomically
from edgenet.plots.layer_figure import layer_figure
from edgenet.plots.layer_page import layer_page
from edgenet.plots.png import png
from edgenet.plots.rows import Report
from edgenet.plots.svg import svg


def write_report(path: Path, report: Report) -> None:
    """Draw the report and write it: a .html file is one page with figure and table, any other file is a PNG.

    Raises:
        EdgenetError: the file cannot be written.
    """
    if path.suffix.lower() == ".html":
        page = layer_page(report, svg(layer_figure(report)))
        write_atomically(path, page.encode("utf-8", "replace"))
    else:
        write_atomically(path, png(layer_figure(report)))
