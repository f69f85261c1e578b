"""The parts of a latency report that `benchmark_model` and a phone's shell tell; what they do not tell is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from device_scripts.conditions import Conditions
from device_scripts.protocol import Protocol
from device_scripts.throttling import android_temperatures, decode_thermalservice
from edgenet.devices.device import DeviceFacts
from edgenet.latency.tool_output import ToolOperator, ToolRun


def steady_of(runs: Sequence[ToolRun], protocol: Protocol) -> dict[str, Any]:
    """Of all blocks: p50 is the median of theirs; of the tails it tells too little for any other percentile."""
    medians = [run.p50_ms for run in runs]
    count = sum(run.n for run in runs)
    return {
        "n": count,
        "min_ms": min(run.min_ms for run in runs),
        "p50_ms": median(medians),
        "p90_ms": None,
        "p99_ms": None,
        "max_ms": max(run.max_ms for run in runs),
        "mean_ms": sum(run.mean_ms * run.n for run in runs) / count,
        "std_ms": None,
        "percentile_rule": "median of the medians of blocks",
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_p50_ms": medians,
        "samples_ns": None,
    }


def cold_start_of(runs: Sequence[ToolRun]) -> dict[str, Any]:
    """Every block is a fresh process; how long that took to start it does not tell."""
    samples = [
        {"import_ms": None, "load_ms": run.init_ms, "first_inference_ms": run.first_ms, "total_ms": None}
        for run in runs
    ]
    return {
        "n": len(runs),
        "import_ms": None,
        "load_ms": median(run.init_ms for run in runs),
        "first_inference_ms": median(run.first_ms for run in runs),
        "total_ms": None,
        "samples": samples,
    }


def profile_of(operators: Sequence[ToolOperator]) -> dict[str, Any]:
    """The report's profile; whose output an operator makes is not told of those within a delegate."""
    rows = [
        {"index": index, "kind": one.kind, "output": None, "ms": one.ms, "low_ms": None, "high_ms": None}
        for index, one in enumerate(operators)
    ]
    method = "benchmark_model's profiler, averages of a run of its own"
    return {"method": method, "clock": "time that passes", "operators": rows}


@dataclass(frozen=True)
class Look:
    """A look at the device: what its shell told by name, and the conditions."""

    values: Mapping[str, str]
    conditions: Conditions


def look_of(values: Mapping[str, str], thermalservice: str, battery: str) -> Look:
    """Of what a shell says, and of what Android's `dumpsys` says of two services ("" elsewhere)."""
    load = float(values["load"]) if "load" in values else None
    temperatures = android_temperatures(thermalservice, battery) or None
    return Look(values, Conditions(None, None, temperatures, decode_thermalservice(thermalservice), load))


def device_facts_of(facts: DeviceFacts, look: Mapping[str, str]) -> dict[str, Any]:
    """The report's device."""
    return {
        "model": facts.model,
        "soc": look.get("soc"),
        "cpu": facts.machine,
        "cores": int(look["cores"]) if "cores" in look else None,
        "memory_bytes": None,
        "os": facts.system,
        "kernel": look.get("kernel"),
        "machine": facts.machine,
        "python": None,
    }
