"""The verbs `report` and `compare`: show latency reports on a page, and say whether two networks differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.figures.latency_figures import (
    accuracy_figure,
    cold_start_figure,
    distribution_figure,
    sustained_figure,
)
from edgenet.figures.latency_page import latency_page
from edgenet.figures.style import png, svg
from edgenet.files import check_output, write_atomically
from edgenet.latency.comparing import Difference, difference
from edgenet.latency.options import BenchOptions
from edgenet.latency.reading import read_file, read_report, read_reports
from edgenet.latency.report_rows import LatencyReport, ReportRow, report_rows, rows_csv
from edgenet.progress import Progress, silent
from edgenet.workflows.arguments import checked
from edgenet.workflows.measuring import measure_on, timing

PAGE, REPORT = ".html", ".json"


@dataclass(frozen=True)
class Reported:
    """The result of `report`.

    Attributes:
        rows: the rows of the table.
        files: paths of the page, the CSV table and the figures, in this order.
    """

    rows: tuple[ReportRow, ...]
    files: tuple[str, ...]


@checked
def report(results: str | Path | Sequence[str | Path], out: str | Path = "report.html") -> Reported:
    """Write a self-contained page of latency reports, NAME.csv, and NAME-FIGURE.png for each figure.

    >>> edgenet.report("latency", "report.html").files[:2]
    ('report.html', 'report.csv')

    Args:
        results: reports of `bench`, or folders that contain reports, such as a sweep's folder.
        out: path of the page, NAME.html.

    Raises:
        EdgenetError: a file is not a report, there is no report at all, or the page cannot be written.
        TypeError: an argument has the wrong type.
    """
    page = Path(out)
    sources = [Path(one) for one in ([results] if isinstance(results, str | os.PathLike) else results)]
    if page.suffix.lower() != PAGE:
        raise EdgenetError(f"the page {page} does not end in .html", "give it this ending")
    check_output(page, *sources)
    reports = read_reports(sources)
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
    text = latency_page(reports, rows, {name: svg(figure, name) for name, figure in figures.items()})
    files = {page: text.encode("utf-8", "replace"), page.with_suffix(".csv"): rows_csv(rows)}
    files |= {page.with_name(f"{page.stem}-{name}.png"): png(figure) for name, figure in figures.items()}
    for path, content in files.items():
        write_atomically(path, content)
    return Reported(rows, tuple(str(path) for path in files))


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


@checked
def compare(
    a: str | Path,
    b: str | Path,
    *,
    on: str = "local",
    protocol: str = "quick",
    threads: int | Sequence[int] = 1,
    affinity: str | None = None,
    settle: float | None = None,
    runs: int | None = None,
    min_seconds: float | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare two latency reports (.json), or two models that are measured now, in turns.

    >>> edgenet.compare("small.tflite", "float.tflite", runs=50, min_seconds=0.1).difference.paired
    True

    Args:
        a, b: two reports of `bench`, or two models.
        on, protocol, threads, affinity, settle, runs, min_seconds: how models are measured, see `bench`; ignored
            for reports.
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: one is a report and the other a model, or a file holds several reports; see also `bench`.
        TypeError: an argument has the wrong type.
    """
    paths = (Path(a), Path(b))
    options = timing(protocol, threads, affinity, settle, runs=runs, min_seconds=min_seconds)
    kinds = {path.suffix.lower() == REPORT for path in paths}
    if kinds == {True, False}:
        raise EdgenetError(f"of {a} and {b} only one is a report", "give two reports, or two models")
    first, second = map(_read, paths) if kinds == {True} else _measured(paths, on, options, progress)
    paired = _in_turns(first, second)
    gap = difference(_comparable(first), _comparable(second), paired)
    return Comparison(_side(paths[0], first), _side(paths[1], second), gap, _warnings(first, second))


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
    invalid = [
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
    return (*invalid, *differing)
