"""The verb `report`: writes latency reports as one HTML page, its figures as PNG and its table as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.figures.drawing import png, svg
from edgenet.figures.latency_figures import (
    accuracy_figure,
    cold_start_figure,
    distribution_figure,
    sustained_figure,
)
from edgenet.figures.latency_page import latency_page
from edgenet.files import check_output, write_atomically
from edgenet.latency.comparing import Difference, difference
from edgenet.latency.options import BenchOptions
from edgenet.latency.reading import read_file, read_report, read_reports
from edgenet.latency.rows import LatencyReport, ReportRow, report_rows, rows_csv
from edgenet.progress import Progress, silent
from edgenet.workflows.measuring import measure_on

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


# ==== edgenet.verbs.compare
# The verb `compare`: says whether two networks differ in latency, from reports or by measuring in turns.

REPORT = ".json"


@dataclass(frozen=True)
class Side:
    """One of the two networks.

    Attributes:
        name: path of its report or model, as the user gave it.
        p50_ms, p90_ms: latency percentiles, milliseconds; None if its report does not have them.
        device: the device it was measured on.
        valid: whether its figures may be quoted; `reasons` says why not.
    """

    name: str
    p50_ms: float | None
    p90_ms: float | None
    n: int
    threads: int
    device: str
    valid: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two networks; `difference` is that of b against a.

    Attributes:
        warnings: why the comparison says less than it seems to, such as measurements on different devices.
    """

    a: Side
    b: Side
    difference: Difference
    warnings: tuple[str, ...]


def compare(
    a: Path,
    b: Path,
    target: str = "local",
    options: BenchOptions = BenchOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Comparison:
    """Compare two latency reports (.json), or two models that are measured now.

    Args:
        target: where models are measured; ignored for reports.
        options: how models are measured; ignored for reports.

    Raises:
        EdgenetError: one is a report and the other a model, or a file holds several reports; see also
            `measure_on` and `read_file`.
    """
    kinds = {path.suffix.lower() == REPORT for path in (a, b)}
    if kinds == {True, False}:
        raise EdgenetError(f"of {a} and {b} only one is a report", "give two reports, or two models")
    first, second = (_read(a), _read(b)) if kinds == {True} else _measured((a, b), target, options, progress)
    paired = _in_turns(first, second)
    found = difference(_comparable(first), _comparable(second), paired)
    return Comparison(_side(a, first), _side(b, second), found, _warnings(first, second))


def _read(path: Path) -> LatencyReport:
    reports = read_file(path)
    if len(reports) != 1:
        raise EdgenetError(f"{path} holds {len(reports)} reports", "give files of one report each")
    return reports[0]


def _measured(
    models: tuple[Path, Path], target: str, options: BenchOptions, progress: Progress
) -> tuple[LatencyReport, LatencyReport]:
    options.check()
    first, second = (
        read_report(report, str(model))
        for model, report in zip(models, measure_on(target, models, options, progress), strict=True)
    )
    return first, second


def _in_turns(a: LatencyReport, b: LatencyReport) -> bool:
    """Return whether one call measured both in turns: they share the start time, place and number of blocks."""
    same = (a.started, a.target, a.device) == (b.started, b.target, b.device)
    return same and len(a.blocks_ms) == len(b.blocks_ms)


def _comparable(report: LatencyReport) -> Sequence[NDArray[np.float64]]:
    """Return the latencies to compare, block by block: all samples, or only medians if there are no samples.

    Raises:
        EdgenetError: the report has neither.
    """
    if not report.blocks_ms:
        raise EdgenetError(
            f"{report.path} cannot be compared: it has neither single runs nor medians, because the "
            "benchmark_model that measured it is too old to report them",
            "measure again with a newer one, or without --benchmark-model",
        )
    return report.blocks_ms


def _side(path: Path, report: LatencyReport) -> Side:
    return Side(
        str(path),
        report.p50_ms,
        report.p90_ms,
        report.n,
        report.threads,
        report.device,
        report.valid,
        report.reasons,
    )


def _warnings(a: LatencyReport, b: LatencyReport) -> tuple[str, ...]:
    found = [
        f"{report.path} is not valid: {'; '.join(report.reasons)}" for report in (a, b) if not report.valid
    ]
    differing = [
        f"{what} differ: {one} and {other}"
        for what, one, other in (
            ("the devices", a.device, b.device),
            ("the runtimes", a.facts["runtime"], b.facts["runtime"]),
            ("the routes", a.facts["measured by"], b.facts["measured by"]),
            ("the threads", a.threads, b.threads),
            ("the governors", a.facts["governor"], b.facts["governor"]),
        )
        if one != other
    ]
    return (*found, *differing)
