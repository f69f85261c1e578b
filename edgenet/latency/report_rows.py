"""The values of a latency report, and reports side by side: a row for each, with the Pareto front, as CSV."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy import on_front
from edgenet.files import csv_table


@dataclass(frozen=True, eq=False)
class Measurement:
    """The figures that a report and its row have in common. Times in milliseconds.

    Attributes:
        target: as the user gave it; "" if the device script was run directly.
        device: the device's model, or else its CPU.
        started: when the measurement started, ISO 8601.
        n: number of steady-state runs.
        p50_ms, p90_ms, p99_ms: percentiles; None if the program that measured does not report them.
    """

    target: str
    device: str
    started: str
    protocol: str
    threads: int
    n: int
    min_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float


@dataclass(frozen=True, eq=False)
class LatencyReport(Measurement):
    """A report whose fields have been checked.

    Attributes:
        path: the file it was read from.
        name: the model's readable name.
        blocks_ms: the samples, milliseconds, block by block in order. If `has_samples` is false, each block
            holds only its median, and there are no blocks if even the medians are unknown.
        has_samples: whether the report holds every sample.
        facts: readable facts about the device and the measurement, by name.
        profile: the profile as `latency.profile` reads it; None if operators were not timed.
        valid: whether the latency may be quoted.
        reasons: why it may not be quoted.
    """

    path: str
    name: str
    sha256: str
    size_bytes: int
    blocks_ms: tuple[NDArray[np.float64], ...]
    has_samples: bool
    cold_start: ColdStart
    sustained: Sustained | None
    peak_memory_bytes: int | None
    accuracy: Accuracy | None
    tried: tuple[TriedSetting, ...]
    facts: dict[str, str]
    profile: dict[str, Any] | None
    valid: bool
    reasons: tuple[str, ...]

    @property
    def samples_ms(self) -> NDArray[np.float64]:
        """All values of `blocks_ms`, in order."""
        return np.concatenate(self.blocks_ms)


@dataclass(frozen=True)
class ColdStart:
    """Medians over `n` fresh processes, milliseconds; None for values that were not measured."""

    n: int
    import_ms: float | None
    load_ms: float
    first_inference_ms: float
    total_ms: float | None


@dataclass(frozen=True)
class Sustained:
    """A sustained load: p50 of its first and last 30 s, the ratio last / first, and its curve over time."""

    first_p50_ms: float
    last_p50_ms: float
    ratio: float
    curve: tuple[SustainedPoint, ...]


@dataclass(frozen=True)
class SustainedPoint:
    """One point in time of a sustained load; None for values that the device does not report."""

    at_s: float
    p50_ms: float
    hottest_celsius: float | None
    highest_mhz: float | None


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of the int8 network, percent, on `n` photos of the data set `data`."""

    int8_top1: float
    n: int
    data: str


@dataclass(frozen=True)
class TriedSetting:
    """A setting of threads and CPUs that was tried, its median latency, and whether it was chosen."""

    threads: int
    cpus: str
    p50_ms: float
    best: bool


@dataclass(frozen=True)
class ReportRow(Measurement):
    """The figures of one report. Sizes in bytes.

    Attributes:
        label: a readable name, different for every report.
        cold_start_ms: from the start of a process to its first answer; None if unknown.
        sustained_ratio: p50 of the last 30 s divided by p50 of the first 30 s; None without a sustained load.
        int8_top1: percent of `photos`; None if it was not measured.
        front: whether the report is on its device's Pareto front: no other report there is at least as fast
            and as accurate, and better in one of the two.
        reasons: why the report is not valid; empty if it is.
    """

    label: str
    model: str
    cold_start_ms: float | None
    sustained_ratio: float | None
    peak_memory_bytes: int | None
    size_bytes: int
    int8_top1: float | None
    photos: int | None
    front: bool
    valid: bool
    reasons: str


def report_rows(reports: Sequence[LatencyReport]) -> tuple[ReportRow, ...]:
    """Return a row for each report, in order."""
    labels = _labels(reports)
    rows = [_row(report, label) for report, label in zip(reports, labels, strict=True)]
    return _with_front(rows)


def _labels(reports: Sequence[LatencyReport]) -> list[str]:
    """Return the models' names, with as many details as are needed to tell the reports apart."""
    labels = [report.name for report in reports]
    for more in (
        [f"on {report.target or report.device}" for report in reports],
        [f"{report.threads} thread{'s' * (report.threads > 1)}" for report in reports],
        [f"by {report.facts['measured by']}" for report in reports],
        [report.started for report in reports],
        [f"#{number}" for number in range(1, len(reports) + 1)],
    ):
        if len(set(labels)) == len(labels):
            break
        if len(set(more)) > 1:
            labels = [f"{label}, {text}" for label, text in zip(labels, more, strict=True)]
    return labels


def _row(report: LatencyReport, label: str) -> ReportRow:
    accuracy = report.accuracy
    shared = {field.name: getattr(report, field.name) for field in fields(Measurement)}
    return ReportRow(
        **shared,
        label=label,
        model=report.name,
        cold_start_ms=report.cold_start.total_ms,
        sustained_ratio=report.sustained.ratio if report.sustained else None,
        peak_memory_bytes=report.peak_memory_bytes,
        size_bytes=report.size_bytes,
        int8_top1=accuracy.int8_top1 if accuracy else None,
        photos=accuracy.n if accuracy else None,
        front=False,
        valid=report.valid,
        reasons="; ".join(report.reasons),
    )


def _with_front(rows: Sequence[ReportRow]) -> tuple[ReportRow, ...]:
    """Mark the valid rows on each device's front; a faster board is not a better network."""
    found: dict[int, bool] = {}
    for place in {(row.target, row.device) for row in rows}:
        known = [
            i
            for i, row in enumerate(rows)
            if row.valid and (row.target, row.device) == place and None not in (row.int8_top1, row.p50_ms)
        ]
        gains = [float(rows[i].int8_top1 or 0) for i in known]
        costs = [float(rows[i].p50_ms or 0) for i in known]
        found |= dict(zip(known, on_front(costs, gains), strict=True))
    return tuple(replace(row, front=found.get(i, False)) for i, row in enumerate(rows))


_FIRST_COLUMNS = ("label", "model")


def rows_csv(rows: Sequence[ReportRow]) -> bytes:
    """Return a CSV table with a header and a line for each row; unknown values are empty."""
    names = sorted((field.name for field in fields(ReportRow)), key=lambda name: name not in _FIRST_COLUMNS)
    return csv_table(rows, names)


def format_or_unknown(value: float | None, form: str, unknown: str = "-") -> str:
    """Format a value with a format string such as "{:.3f}"; return `unknown` if the value is None."""
    return unknown if value is None else form.format(value)
