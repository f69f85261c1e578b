"""Making an `edgenet.latency.v1` report from benchmark_model's output; unknown values are null."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from device_scripts.affinity import CpuSet, Setting
from device_scripts.conditions import Conditions
from device_scripts.delegate import Delegate
from device_scripts.model_file import ModelFile
from device_scripts.protocol import Protocol
from device_scripts.report_form import cpu_set_facts, look_facts, model_facts, report_form
from device_scripts.sample_statistics import percentile
from device_scripts.validity import Evidence
from edgenet.benchmark_model.output import NOTHING_KNOWN, OperatorRow, Timings
from edgenet.benchmark_model.program import NAME, BenchmarkProgram

ROUTE = "benchmark_model"
METHOD = "benchmark_model's own profiler, in a separate run"
PERCENTILES = "p50 is the median of the blocks' medians; no other percentile is reported"
GROUPS = 5
NO_MEDIAN = "p50 unknown: this benchmark_model is too old to report the median"


@dataclass(frozen=True)
class Around:
    """The values that all reports of one measurement share.

    Attributes:
        started: when the measurement started, ISO 8601.
        protocol: the measurement protocol.
        program: the benchmark_model program.
        device: the device's facts for the report.
        sets: the device's sets of CPUs, beginning with the set of all CPUs.
        before, after: the conditions before and after the runs.
    """

    started: str
    protocol: Protocol
    program: BenchmarkProgram
    device: dict[str, Any]
    sets: list[CpuSet]
    before: Conditions
    after: Conditions


@dataclass
class Measured:
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
        looks: for each block, the second at which it ended and the conditions then.
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
    looks: list[tuple[float, Conditions]] = field(default_factory=list)
    profile: tuple[OperatorRow, ...] | None = None


def report_of(measured: Measured, around: Around) -> dict[str, Any]:
    """Return the report of a model."""
    steady = _steady(measured.blocks, around.protocol)
    cores = around.device["cores"] or 1
    during = tuple(seen for _, seen in measured.looks)
    groups = _groups(steady["block_p50_ms"])
    evidence = Evidence(
        steady["n"], groups, around.before, around.after, measured.delegate, cores, None, during
    )
    told = {
        "route": ROUTE,
        "started": around.started,
        "model": model_facts(measured.model, measured.operators),
        "runtime": {"name": NAME, "version": f"SHA-256 {around.program.sha256[:12]}"},
        "device": around.device,
        "threads": measured.setting.threads,
        "affinity": list(measured.setting.cpus.cpus),
        "cpu_sets": cpu_set_facts(around.sets),
        "tried": measured.tried,
        "during": [look_facts(at, seen) for at, seen in measured.looks],
        "cold_start": _cold_start(measured.blocks),
        "steady_state": steady,
        "profile": _profile(measured),
        "program": {**around.program.facts(), "arguments": list(measured.arguments)},
    }
    return report_form(evidence, around.protocol, told, () if groups else (NO_MEDIAN,))


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


def _profile(measured: Measured) -> dict[str, Any] | None:
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
