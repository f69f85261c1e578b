"""The verb `report`: writes latency reports as one HTML page, its figures as PNG and its table as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.latency.reading import read_reports
from edgenet.latency.report_rows import ReportRow, report_rows, rows_csv
from edgenet.plots.latency_figures import (
    accuracy_figure,
    cold_start_figure,
    distribution_figure,
    sustained_figure,
)
from edgenet.plots.latency_page import latency_page
from edgenet.plots.png import png
from edgenet.plots.svg import svg
from edgenet.verbs.outputs import check_output

PAGE = ".html"


@dataclass(frozen=True)
class Reported:
    """The result of `report`.

    Attributes:
        rows: the rows of the table.
        files: paths of the page, the CSV table and the figures, in this order.
    """

    rows: tuple[ReportRow, ...]
    files: tuple[str, ...]


def report(results: Sequence[Path], out: Path) -> Reported:
    """Write a self-contained page of latency reports, NAME.csv, and NAME-FIGURE.png for each figure.

    Args:
        results: reports of `bench`, or folders that contain reports, such as a sweep's folder.
        out: path of the page, NAME.html.

    Raises:
        EdgenetError: a file is not a report, there is no report at all, or the page cannot be written.
    """
    if out.suffix.lower() != PAGE:
        raise EdgenetError(f"the page {out} does not end in .html", "give it this ending")
    check_output(out, *results)
    reports = read_reports(results)
    if not reports:
        raise EdgenetError("there is nothing to report", "give files of edgenet bench")
    rows = report_rows(reports)
    drawn: dict[str, Figure | None] = {
        "accuracy": accuracy_figure(rows),
        "distributions": distribution_figure(reports, rows),
        "cold-start": cold_start_figure(reports, rows),
        "sustained": sustained_figure(reports, rows),
    }
    figures = {name: figure for name, figure in drawn.items() if figure is not None}
    page = latency_page(reports, rows, {name: svg(figure, name) for name, figure in figures.items()})
    files = {out: page.encode("utf-8", "replace"), out.with_suffix(".csv"): rows_csv(rows)}
    files |= {out.with_name(f"{out.stem}-{name}.png"): png(figure) for name, figure in figures.items()}
    for path, content in files.items():
        write_atomically(path, content)
    return Reported(rows, tuple(str(path) for path in files))
