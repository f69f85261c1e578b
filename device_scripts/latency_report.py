"""Measuring a model's latency and writing it down as `edgenet.latency.v1`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .conditions import Conditions, OthersLoad, look
from .delegate import find_delegate, read_operators
from .entry import usable_cpus
from .errors import EdgenetError
from .facts import device_facts, peak_memory_bytes
from .model_file import ModelFile, open_model
from .runtime import load_runtime, make_interpreter
from .sample_statistics import PERCENTILE_RULE, percentile, summarize, sustained
from .steady_state import fill_input, sample
from .validity import Evidence, reasons_against

SCHEMA = "edgenet.latency.v1"
_COLD_START_TIMEOUT_S = 600


@dataclass(frozen=True)
class Protocol:
    """How to measure; see the options of measure_latency.py."""

    threads: int = 1
    runs: int = 50
    min_seconds: float = 1.0
    warmup: int = 1
    cold_starts: int = 3


def measure(path: Path, protocol: Protocol) -> dict[str, Any]:
    """Measure a .tflite or a bundle on this device.

    Returns:
        the report, ready for JSON; what the device does not tell is None. `pipeline` is None here: the stages around
        the network are what classify.py measures, and whoever joins the two reports fills it.

    Raises:
        EdgenetError: the model cannot be used or a cold start fails.
    """
    before = look()  # first of all, so that the load it sees is not ours
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    model, runtime = open_model(path), load_runtime()
    interpreter = make_interpreter(runtime, model, protocol.threads)
    cold = cold_starts(path, protocol.threads, protocol.cold_starts)
    fill_input(interpreter)
    others = OthersLoad()
    samples = sample(interpreter.invoke, protocol.runs, protocol.min_seconds, protocol.warmup)
    share, after, delegate = others.share(), look(), find_delegate(interpreter)
    device = device_facts()
    cores = device["cores"] or 1
    reasons = reasons_against(Evidence(samples, before, after, delegate, cores, share))
    return {
        "schema": SCHEMA,
        "started": started,
        "model": _model_facts(model, interpreter),
        "runtime": {"name": runtime.name, "version": runtime.version},
        "delegate": delegate.as_dict(),
        "device": device,
        "threads": protocol.threads,
        "affinity": usable_cpus(),
        **_conditions(before, after),
        "cold_start": cold,
        "steady_state": _steady(samples, protocol),
        "sustained": sustained(samples),
        "peak_memory_bytes": peak_memory_bytes(),
        "load": {"average_1_min_at_start": before.load_average, "cores": cores, "others_cpu_share": share},
        "pipeline": None,
        "valid": not reasons,
        "reasons": reasons,
    }


def cold_starts(path: Path, threads: int, times: int) -> dict[str, Any]:
    """Medians over `times` fresh processes, and each of them.

    `total_ms` runs from starting the process to hearing that its first inference is done.
    """
    samples = [_cold_start(path, threads) for _ in range(times)]
    medians = {name: percentile(np.array([one[name] for one in samples]), 50) for name in samples[0]}
    return {"n": times, **medians, "samples": samples}


def _cold_start(path: Path, threads: int) -> dict[str, float]:
    script = Path(__file__).resolve().with_name("cold_start.py")
    start = time.perf_counter_ns()
    command = [sys.executable, str(script), str(path), str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        line = child.stdout.readline() if child.stdout else ""
        total = (time.perf_counter_ns() - start) / 1e6
        try:
            _, complaint = child.communicate(timeout=_COLD_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complaint = "it does not end"
    try:
        return {**json.loads(line), "total_ms": total}
    except json.JSONDecodeError:
        last = (complaint.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise EdgenetError(f"a cold start of {path} failed: {last}", "run cold_start.py by hand") from None


def _model_facts(model: ModelFile, interpreter: Any) -> dict[str, Any]:
    nodes = read_operators(interpreter)
    names = None if nodes is None else [n["op_name"] for n in nodes if n["op_name"] != "DELEGATE"]
    return {
        "file": model.path.name,
        "bundle": model.manifest is not None,
        "sha256": model.sha256,
        "size_bytes": len(model.data),
        "operators": None if names is None else len(names),
        "operators_by_type": None if names is None else dict(sorted(Counter(names).items())),
    }


def _conditions(before: Conditions, after: Conditions) -> dict[str, Any]:
    return {
        "governor": after.governors,
        "frequency_mhz": {"before": before.frequencies_mhz, "after": after.frequencies_mhz},
        "temperature_celsius": {"before": before.temperatures_celsius, "after": after.temperatures_celsius},
        "throttling": {"before": before.throttling, "after": after.throttling} if after.throttling else None,
    }


def _steady(samples: np.ndarray, protocol: Protocol) -> dict[str, Any]:
    return {
        **summarize(samples),
        "percentile_rule": PERCENTILE_RULE,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "samples_ns": samples.tolist(),
    }
