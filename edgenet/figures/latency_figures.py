"""Draw latency reports: distributions, accuracy against latency, cold start and sustained load."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from edgenet_device.foreign_text import one_line
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgenet.figures.style import COLOURS, INK, MARKERS, MUTED, figure_of, logarithmic_x, plain, style_axes
from edgenet.latency.report_rows import LatencyReport, ReportRow

WIDTH = 8.0
BINS = 90
TAIL = 99.5
"""Percentile of the runs at which a distribution ends; the table lists the slowest runs."""
NAMED = 8
"""Largest number of points that are all named; with more, only those on the Pareto front are named."""
LONGEST_NAME = 60
"""Letters of a name that are drawn; a longer one would leave no room for the figure beside it."""
STEPS = (("import", "import_ms"), ("load", "load_ms"), ("first inference", "first_inference_ms"))


def distribution_figure(reports: Sequence[LatencyReport], rows: Sequence[ReportRow]) -> Figure | None:
    """Draw for each report a ridge of how often each latency occurred, with marks at p50, p90 and p99.

    Reports that are not valid are grey. Returns None if no report contains single runs.
    """
    drawn = [(report, row) for report, row in zip(reports, rows, strict=True) if report.has_samples]
    if not drawn:
        return None
    reports, rows = [report for report, _ in drawn], [row for _, row in drawn]
    figure = figure_of(WIDTH, 1.1 + 0.45 * len(rows))
    axes = figure.subplots()
    style_axes(axes, "How long one inference takes", "ms per inference: all runs, and p50, p90, p99")
    ends = [float(np.percentile(report.samples_ms, TAIL)) for report in reports]
    starts = [float(report.samples_ms.min()) for report in reports]
    if max(ends) > 6 * min(starts) > 0:  # a coarse clock can measure 0
        logarithmic_x(axes)
        edges = np.geomspace(min(starts) * 0.97, max(ends) * 1.03, BINS * 2)
    else:
        edges = np.linspace(min(starts) * 0.98, max(ends) * 1.02 or 1.0, BINS * 2)
    centres = (edges[1:] + edges[:-1]) / 2
    for place, (report, row) in enumerate(zip(reports, rows, strict=True)):
        base, colour = len(rows) - 1 - place, COLOURS[place % len(COLOURS)] if row.valid else MUTED
        counts = np.convolve(np.histogram(report.samples_ms, edges)[0], np.hanning(7), mode="same")
        axes.fill_between(
            centres, base, base + 0.8 * counts / max(counts.max(), 1e-9), color=colour, alpha=0.35, lw=0
        )
        axes.plot(centres, base + 0.8 * counts / max(counts.max(), 1e-9), color=colour, lw=1.0)
        for value, height in ((row.p50_ms, 0.8), (row.p90_ms, 0.5), (row.p99_ms, 0.3)):
            assert value is not None  # a report with single runs also has their percentiles
            axes.plot([value, value], [base, base + height], color=INK, lw=1.2 if height > 0.6 else 0.8)
        axes.annotate(
            f"{row.p50_ms:.3g}",
            (_p50(row), base + 0.8),
            xytext=(3, -6),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set_yticks(range(len(rows)), [_named(row) for row in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(edges[0], edges[-1])
    return figure


def accuracy_figure(rows: Sequence[ReportRow]) -> Figure | None:
    """Draw int8 accuracy against latency, with the Pareto front joined by a line.

    Returns None if fewer than two reports have both values.
    """
    known = [row for row in rows if row.int8_top1 is not None and (row.p50_ms or 0) > 0]
    if len(known) < 2:
        return None
    figure = figure_of(WIDTH, 4.2)
    axes = figure.subplots()
    shared = _shared_beginning([row.model for row in known])
    title = f"Accuracy against latency{f' of {one_line(shared, LONGEST_NAME)}…' if shared else ''}"
    style_axes(axes, title, "p50, ms, log axis", "int8 top-1, %")
    logarithmic_x(axes)
    places = sorted({(row.target, row.device) for row in known})
    for index, place in enumerate(places):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        here = [row for row in known if (row.target, row.device) == place]
        front = sorted((row for row in here if row.front), key=_p50)
        label = _short(" ".join(part for part in place if part))
        axes.plot([_p50(row) for row in front], [_top1(row) for row in front], "--", color=colour, lw=1.1)
        axes.plot([], [], marker, color=colour, label=label)
        for row in here:
            axes.plot(_p50(row), _top1(row), marker, mec=colour, mfc=colour if row.valid else "white", ms=7)
            if row.front or len(known) <= NAMED:
                _name(axes, row, row.model.removeprefix(shared))
    if not all(row.valid for row in known):
        axes.plot([], [], "o", mfc="white", mec=INK, label="not valid to quote")
    axes.margins(x=0.12, y=0.25)
    figure.legend(frameon=False, fontsize=8, loc="outside lower left", ncols=4)
    return figure


def _name(axes: Axes, row: ReportRow, name: str) -> None:
    """Write a point's name across the rising front: on it towards the upper left, below it towards the lower right.

    Horizontal names would cover each other.
    """
    side = -1 if row.front else 1
    axes.annotate(
        _short(name), (_p50(row), _top1(row)), xytext=(6 * side, -6 * side), textcoords="offset points", rotation=-45,
        rotation_mode="anchor", ha="right" if row.front else "left", fontsize=8, color=INK if row.front else MUTED,
    )  # fmt: skip


def _shared_beginning(names: Sequence[str]) -> str:
    """Return the longest common prefix that ends in "_"; "" if there is only one distinct name."""
    if len(set(names)) < 2:
        return ""
    first, last = min(names), max(names)  # a prefix of the first and the last in order is shared by all
    same = next(
        (i for i, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first)
    )
    return first[: first.rfind("_", 0, same) + 1]


def cold_start_figure(reports: Sequence[LatencyReport], rows: Sequence[ReportRow]) -> Figure:
    """Draw the time from starting a process to its first answer, divided into steps."""
    figure = figure_of(WIDTH, 1.2 + 0.3 * len(rows))
    axes = figure.subplots()
    style_axes(axes, "Cold start: from process start to the first answer", "ms, medians over fresh processes")
    for place, report in enumerate(reports):
        cold = report.cold_start
        parts = [getattr(cold, name) or 0.0 for _, name in STEPS]
        total = sum(parts) if cold.total_ms is None else cold.total_ms
        left = 0.0
        for width, colour in zip(
            (*parts, max(total - sum(parts), 0)), (*COLOURS[:3], "#d0d0cc"), strict=True
        ):
            axes.barh(len(rows) - 1 - place, width, left=left, color=colour, height=0.62)
            left += width
        axes.annotate(
            f"{total:.0f}{' without process start' if cold.total_ms is None else ''}",
            (left, len(rows) - 1 - place),
            xytext=(4, -3),
            textcoords="offset points",
            fontsize=8,
        )
    names = (*(name for name, _ in STEPS), "rest of the process")
    for name, colour in zip(names, (*COLOURS[:3], "#d0d0cc"), strict=True):
        axes.barh([0], [0], color=colour, label=name)
    axes.set_yticks(range(len(rows)), [_named(row) for row in reversed(rows)])
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center", ncols=4)
    return figure


def sustained_figure(reports: Sequence[LatencyReport], rows: Sequence[ReportRow]) -> Figure | None:
    """Draw p50 over time under sustained load, relative to its first 30 s, and the temperature if known.

    Returns None if no report has a sustained load.
    """
    loaded = [(report, row) for report, row in zip(reports, rows, strict=True) if report.sustained]
    if not loaded:
        return None
    hot = any(point.hottest_celsius is not None for report, _ in loaded for point in _curve(report))
    figure = figure_of(WIDTH, 4.6 if hot else 3.2)
    panels = figure.subplots(2 if hot else 1, 1, sharex=True, squeeze=False)[:, 0]
    style_axes(panels[0], "Sustained load", "" if hot else "seconds", "p50 / p50 of the first 30 s")
    for index, (report, row) in enumerate(loaded):
        curve = _curve(report)
        times = [point.at_s for point in curve]
        colour = COLOURS[index % len(COLOURS)]
        label = f"{_short(row.label)} (p50 of the last 30 s: {row.sustained_ratio:.3f} times the first)"
        assert report.sustained is not None
        first = report.sustained.first_p50_ms
        panels[0].plot(times, [point.p50_ms / first for point in curve], color=colour, lw=1.4, label=label)
        if hot:
            heat = [np.nan if p.hottest_celsius is None else p.hottest_celsius for p in curve]
            panels[1].plot(times, heat, color=colour, lw=1.2)
    panels[0].axhline(1, color=MUTED, lw=0.8)
    if hot:
        style_axes(panels[1], "", "seconds", "hottest, °C")
    figure.legend(frameon=False, fontsize=8, loc="outside lower left")
    return figure


def _curve(report: LatencyReport) -> tuple:
    return report.sustained.curve if report.sustained else ()


def _top1(row: ReportRow) -> float:
    assert row.int8_top1 is not None  # only rows with a known accuracy are drawn
    return row.int8_top1


def _p50(row: ReportRow) -> float:
    assert row.p50_ms is not None  # only rows with a known p50 are drawn
    return row.p50_ms


def _named(row: ReportRow) -> str:
    return _short(row.label) + ("" if row.valid else " (not valid)")


def _short(name: str) -> str:
    return plain(one_line(name, LONGEST_NAME))
