"""From what benchmark_model prints to an `edgenet.latency.v1` report; values that it does not print are null.

tensorflow/lite/tools/benchmark/benchmark_model.cc prints the timings, tensorflow/lite/profiling and
xla/tsl/util/stats_calculator.cc print the tables of operators, and tensorflow/lite/core/subgraph.cc prints
what was delegated (only on Android). All versions print the same words, with or without "INFO: ", but only
newer versions print the median.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from edgenet_device.latency.affinity import CpuSet, Setting
from edgenet_device.latency.conditions import Conditions
from edgenet_device.latency.report import (
    Evidence,
    Protocol,
    cpu_set_facts,
    model_facts,
    reading_facts,
    report_form,
)
from edgenet_device.latency.samples import percentile
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import Delegate

from edgenet.errors import EdgenetError

NAME = "benchmark_model"
NOTHING_KNOWN = Delegate(None, None, None, None)


@dataclass(frozen=True)
class MeasurementContext:
    """The values that all reports of one measurement share.

    Attributes:
        started: when the measurement started, ISO 8601.
        protocol: the measurement protocol.
        program: the report's entry for the program: its file name, SHA-256 and size.
        device: the device's facts for the report.
        sets: the device's sets of CPUs, beginning with the set of all CPUs.
        before, after: the conditions before and after the runs.
    """

    started: str
    protocol: Protocol
    program: dict[str, str | int]
    device: dict[str, Any]
    sets: list[CpuSet]
    before: Conditions
    after: Conditions


@dataclass
class BenchmarkModelResult:
    """One model: the settings it ran with and its results.

    Attributes:
        model: the model.
        path: its path on the device.
        operators: kinds of the network's operators; None if this machine's runtime does not list them.
        setting: the threads and CPUs it runs with.
        tried: the settings tried, for the report; empty if there was only one.
        arguments: the program's arguments, except the model's path.
        delegate: what the delegate took over.
        blocks: the timings of each block; every block is a separate process.
        conditions: for each block, the second at which it ended and the conditions then.
        profile: the operators' times; None if they were not measured.
    """

    model: ModelFile
    path: str
    operators: list[str] | None
    setting: Setting
    tried: list[dict[str, Any]]
    arguments: tuple[str, ...] = ()
    delegate: Delegate = NOTHING_KNOWN
    blocks: list[Timings] = field(default_factory=list)
    conditions: list[tuple[float, Conditions]] = field(default_factory=list)
    profile: tuple[OperatorRow, ...] | None = None


ROUTE = "benchmark_model"
METHOD = "benchmark_model's own profiler, in a separate run"
PERCENTILES = "p50 is the median of the blocks' medians; no other percentile is reported"
GROUPS = 5
NO_MEDIAN = "p50 unknown: this benchmark_model is too old to report the median"


def report_of(measured: BenchmarkModelResult, context: MeasurementContext) -> dict[str, Any]:
    """Return the report of a model."""
    steady = _steady(measured.blocks, context.protocol)
    cores = context.device["cores"] or 1
    during = tuple(seen for _, seen in measured.conditions)
    groups = _groups(steady["block_p50_ms"])
    evidence = Evidence(
        steady["n"], groups, context.before, context.after, measured.delegate, cores, None, during
    )
    entries = {
        "route": ROUTE,
        "started": context.started,
        "model": model_facts(measured.model, measured.operators),
        "runtime": {"name": NAME, "version": f"SHA-256 {context.program['sha256']!s:.12}"},
        "device": context.device,
        "threads": measured.setting.threads,
        "affinity": list(measured.setting.cpus.cpus),
        "cpu_sets": cpu_set_facts(context.sets),
        "tried": measured.tried,
        "during": [reading_facts(at, seen) for at, seen in measured.conditions],
        "cold_start": _cold_start(measured.blocks),
        "steady_state": steady,
        "profile": _profile(measured),
        "program": {**context.program, "arguments": list(measured.arguments)},
    }
    return report_form(evidence, context.protocol, entries, () if groups else (NO_MEDIAN,))


def _steady(blocks: list[Timings], protocol: Protocol) -> dict[str, Any]:
    """Return the steady-state entry; the blocks' means and deviations are combined to those of all runs."""
    n = sum(block.n for block in blocks)
    mean = sum(block.n * block.mean_ms for block in blocks) / n
    squares = sum(block.n * (block.std_ms**2 + block.mean_ms**2) for block in blocks) / n
    medians = [block.p50_ms for block in blocks if block.p50_ms is not None]
    return {
        "n": n,
        "min_ms": min(block.min_ms for block in blocks),
        "p50_ms": percentile(np.array(medians), 50) if medians else None,
        "p90_ms": None,
        "p99_ms": None,
        "max_ms": max(block.max_ms for block in blocks),
        "mean_ms": mean,
        "std_ms": math.sqrt(max(squares - mean**2, 0.0)),
        "percentile_rule": PERCENTILES,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_sizes": [block.n for block in blocks],
        "block_p50_ms": medians or None,
        "samples_ns": None,
    }


def _groups(medians: list[float] | None) -> tuple[float, ...]:
    """Return the p50 of each of `GROUPS` consecutive groups of blocks; empty without medians."""
    parts = np.array_split(np.array(medians or ()), GROUPS)
    return tuple(percentile(part, 50) for part in parts if part.size)


def _cold_start(blocks: list[Timings]) -> dict[str, Any]:
    """Return the cold-start entry; every block is a new process, whose start-up time is unknown."""
    samples = [{"load_ms": block.load_ms, "first_inference_ms": block.first_inference_ms} for block in blocks]
    load, first = (
        percentile(np.array([one[name] for one in samples]), 50) for name in ("load_ms", "first_inference_ms")
    )
    return {
        "n": len(blocks),
        "import_ms": None,
        "load_ms": load,
        "first_inference_ms": first,
        "total_ms": None,
        "samples": samples,
    }


def _profile(measured: BenchmarkModelResult) -> dict[str, Any] | None:
    if measured.profile is None:
        return None
    rows = [
        {"index": i, "kind": row.kind, "output": row.output, "ms": row.ms, "low_ms": None, "high_ms": None}
        for i, row in enumerate(measured.profile)
    ]
    return {
        "method": METHOD,
        "clock": "wall time",
        "threads": measured.setting.threads,
        "operators": rows,
    }


@dataclass(frozen=True)
class Timings:
    """The timed runs of one process, in milliseconds; the program counts in microseconds.

    Attributes:
        n: number of runs.
        p50_ms: the median; None if the program is too old to report it.
        std_ms: standard deviation of all runs (divisor n), truncated to whole microseconds.
        load_ms: time to read the model and allocate its tensors.
        first_inference_ms: time of the first inference (Invoke).
    """

    n: int
    min_ms: float
    p50_ms: float | None
    max_ms: float
    mean_ms: float
    std_ms: float
    load_ms: float
    first_inference_ms: float


REMEDY = "give TensorFlow Lite's or LiteRT's benchmark_model"
_LINE = r"^(?:INFO: )?"
# The program prints one such line for the warm-up and one for the runs. If all took the same time, it prints
# only `curr`.
_RUNS = re.compile(
    _LINE + r"count=(?P<n>\d+) (?:first=\d+ )?curr=(?P<curr>\d+)(?: ?\(all same\))?"
    r"(?: min=(?P<min>\d+) max=(?P<max>\d+) avg=(?P<avg>[\d.e+]+) std=(?P<std>\d+))?"
    r"(?: p5=\d+ median=(?P<median>\d+) p95=\d+)?\s*$",
    re.MULTILINE,
)
_START = re.compile(
    _LINE + r"Inference timings in us: Init: (?P<init>\d+), First inference: (?P<first>\d+),", re.MULTILINE
)


def read_timings(text: str) -> Timings:
    """Parse the timings in the output of one process.

    Raises:
        EdgenetError: there are no timings: the program is not benchmark_model, or a very old one.
    """
    both, start = list(_RUNS.finditer(text)), _START.search(text)
    if len(both) != 2 or start is None or both[1]["n"] == "0":
        last = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
        raise EdgenetError(f"the program printed no timings; its last line is: {last:.200}", REMEDY)
    runs = both[1]
    names = ("curr",) * 3 if runs["avg"] is None else ("min", "max", "avg")
    low, high, mean = (float(runs[name]) / 1e3 for name in names)
    return Timings(
        n=int(runs["n"]),
        min_ms=low,
        p50_ms=None if runs["median"] is None else int(runs["median"]) / 1e3,
        max_ms=high,
        mean_ms=mean,
        std_ms=int(runs["std"] or 0) / 1e3,
        load_ms=int(start["init"]) / 1e3,
        first_inference_ms=int(start["first"]) / 1e3,
    )


_REPLACED = re.compile(
    r"Replacing (?P<taken>\d+)(?: out of (?P<total>\d+))? node\(s\) with delegate \((?P<name>\w+)\) node, "
    r"yielding (?P<parts>\d+) partitions"
)
_ALL = "Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the delegate"
_NONE = "Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the delegate"


def read_delegate(text: str, operators: int | None) -> Delegate:
    """Parse what was delegated, as far as the program reports it.

    Args:
        text: the output of one process.
        operators: number of operators in the network; None if unknown.
    """
    found = _REPLACED.search(text)
    if found and (found["total"] or operators):
        total = int(found["total"] or operators or 0)
        name = found["name"].removeprefix("TfLite").removesuffix("Delegate").upper()
        return Delegate(name, int(found["taken"]), total, int(found["parts"]))
    if operators is not None and _ALL in text:
        return Delegate("XNNPACK", operators, operators, 1)
    if operators is not None and _NONE in text:
        return Delegate(None, 0, operators, 0)
    return NOTHING_KNOWN


@dataclass(frozen=True)
class OperatorRow:
    """An operator of the network, or an operator that a delegate runs in its place.

    Attributes:
        kind: such as CONV_2D, or the delegate's own name for it.
        output: the name of its output tensor; None for a delegate's operator.
        ms: mean time in one inference, milliseconds.
    """

    kind: str
    output: str | None
    ms: float


_PROFILE = "Operator-wise Profiling Info for Regular Benchmark Runs:"
_INTERNAL = "Delegate internal:"
_NODE = re.compile(r"\[(?P<first>.*?)(?:, .*)?\](?::\d+)?")
_DELEGATE_NODE = re.compile(r"DELEGATE|TfLite\w*Delegate")
_COLUMNS = ("[node type]", "[avg ms]", "[times called]", "[Name]")


def read_operators(text: str) -> tuple[OperatorRow, ...]:
    """Parse the operators in the order in which they ran; a delegate's operators replace its own row.

    Raises:
        EdgenetError: the output has no table of operators.
    """
    _, found, tables = text.partition(_PROFILE)
    network, _, delegate = tables.partition(_INTERNAL)
    rows, within = _table(network), _table(delegate)
    if not found or not rows:
        raise EdgenetError("the program printed no table of operators", REMEDY)
    if not within:
        return tuple(rows)
    first = next((i for i, row in enumerate(rows) if _DELEGATE_NODE.fullmatch(row.kind)), len(rows))
    own = [
        [row for row in part if not _DELEGATE_NODE.fullmatch(row.kind)]
        for part in (rows[:first], rows[first:])
    ]
    return (*own[0], *within, *own[1])


def _table(text: str) -> list[OperatorRow]:
    """Parse the first table in run order: tab-separated cells below the column names, up to an empty line."""
    lines = iter(text.splitlines())
    for line in lines:
        if "= Run Order =" in line:
            break
    names = _cells(next(lines, ""))
    if not set(_COLUMNS) <= set(names):
        return []
    places = [names.index(name) for name in _COLUMNS]
    rows = []
    for line in lines:
        cells = _cells(line)
        if len(cells) != len(names):
            break
        rows += _row(*(cells[place] for place in places))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("\t").split("\t")]


def _row(kind: str, ms: str, times: str, name: str) -> list[OperatorRow]:
    """Return an empty list for a line that is not an operator; `ms` is the mean time of one call."""
    node = _NODE.fullmatch(name)
    if node is None and not name.startswith("Delegate/"):
        return []
    # Older versions give all of a delegate's operators the same kind and put the real kind into the name
    # column.
    kind = name.removeprefix("Delegate/").rpartition(":")[0] if kind == "DelegateOpInvoke" else kind
    try:
        return [OperatorRow(kind, node["first"] if node else None, float(ms) * int(times))]
    except (ValueError, OverflowError):
        raise EdgenetError(
            f"the program's table of operators has the times {ms:.20} and {times:.20}", REMEDY
        ) from None
