"""A latency report in the format of the device's script, made from given samples; and files of such reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from edgenet_device.latency.report import QUICK
from edgenet_device.latency.samples import summarize


def latency(name: str = "small", p50_ms: float = 2.0, **changes: Any) -> dict[str, Any]:
    """Return a report with 10 blocks of 20 samples around `p50_ms`; `changes` replace whole fields."""
    noise = np.random.default_rng([len(name), int(p50_ms * 1000)]).gamma(2.0, 0.01, (10, 20))
    samples = ((p50_ms + noise - np.median(noise)) * 1e6).astype(np.int64)
    look = {"frequency_mhz": {"cpu0": 1500.0}, "temperature_celsius": {"cpu": 55.0}, "throttled": []}
    throttling = {"source": "vcgencmd", "flags": "0x0", "now": [], "since_boot": []}
    report = {
        "schema": "edgenet.latency.v1",
        "started": "2026-11-25T20:00:00+00:00",
        "target": "ssh:pi@pi",
        "model": {
            "file": f"{name}.edgenet",
            "name": name,
            "bundle": True,
            "sha256": "0" * 64,
            "size_bytes": 500_000,
            "operators": 33,
            "operators_by_type": {"CONV_2D": 33},
            "accuracy": None,
        },
        "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "delegate": {"name": "XNNPACK", "nodes_taken": 33, "nodes_total": 33, "partitions": 1},
        "device": {
            "model": "Some Board, rev 1",
            "soc": "some,soc",
            "cpu": None,
            "cores": 4,
            "memory_bytes": 4 << 30,
            "os": "Some Linux 12",
            "kernel": "6.1",
            "machine": "aarch64",
            "python": "3.11.2",
        },
        "protocol": QUICK.as_dict(),
        "threads": 1,
        "affinity": [0, 1, 2, 3],
        "cpu_sets": {"all": {"cpus": [0, 1, 2, 3], "max_mhz": 1500.0}},
        "tried": [],
        "settling": {
            "waited_s": 0.0,
            "longest_s": 0.0,
            "settled": True,
            "waiting_for": [],
            "hottest_celsius": [50.0, 50.0],
        },
        "governor": ["ondemand"],
        "frequency_mhz": {"before": {"cpu0": 600.0}, "after": {"cpu0": 1500.0}},
        "temperature_celsius": {"before": {"cpu": 50.0}, "after": {"cpu": 56.0}},
        "throttling": {"before": throttling, "after": throttling},
        "during": [{"at_s": float(second), **look} for second in range(10)],
        "cold_start": {
            "n": 3,
            "import_ms": 300.0,
            "load_ms": 30.0,
            "first_inference_ms": 4.0,
            "total_ms": 400.0,
            "samples": [],
        },
        "steady_state": {
            **summarize(samples.ravel()),
            "block_sizes": [20] * 10,
            "samples_ns": samples.ravel().tolist(),
        },
        "sustained": None,
        "profile": None,
        "peak_memory_bytes": 60_000_000,
        "load": {"average_1_min_at_start": 0.1, "cores": 4, "others_cpu_share": 0.01},
        "pipeline": None,
        "valid": True,
        "reasons": [],
    }
    return {**report, **changes}


def accurate(report: dict[str, Any], int8_top1: float) -> dict[str, Any]:
    """Return the report of a model that was judged on 1,000 photos."""
    accuracy = {"data": "photos.zip", "n": 1000, "float_top1": int8_top1 + 1, "int8_top1": int8_top1}
    return {**report, "model": {**report["model"], "accuracy": accuracy}}


def written(path: Path, report: Any) -> Path:
    """Write the report to a file; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report))
    return path
