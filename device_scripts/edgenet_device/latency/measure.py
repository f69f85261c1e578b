"""Measures models' latency and returns one `edgenet.latency.v1` report for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.latency.affinity import Setting, found_sets, staying_on
from edgenet_device.latency.conditions import Conditions, OthersLoad, device_facts, read_conditions
from edgenet_device.latency.interleaved import (
    LoadedModel,
    Say,
    load_model,
    measure_in_turns,
    settle,
    sustain,
    try_settings,
)
from edgenet_device.latency.operators import time_operators
from edgenet_device.latency.report import (
    Evidence,
    Protocol,
    cpu_set_facts,
    model_facts,
    reading_facts,
    report_form,
)
from edgenet_device.latency.samples import PERCENTILE_RULE, group_medians_ms, percentile, summarize
from edgenet_device.runtime import Runtime, find_delegate, load_runtime, operator_kinds

ROUTE = "device_scripts"
"""How a report names its way of measuring when these scripts made it."""
COLD_START_STEPS = ("import_ms", "load_ms", "first_inference_ms", "total_ms")
_COLD_START_TIMEOUT_S = 600


def measure(paths: list[Path], choices: list[Setting], protocol: Protocol, say: Say) -> list[dict[str, Any]]:
    """Measure .tflite files or bundles on this device; several models are measured alternately.

    Args:
        choices: threads and CPUs to choose from; if there are several, each model gets its fastest.
        say: called with the progress.

    Returns:
        one report per model, ready for JSON; facts that the device does not report are None. `pipeline` is
        always None here: classify.py measures the stages around the network, and the code that joins the two
        reports fills it in.

    Raises:
        EdgenetError: a model cannot be used or a cold start fails.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    settling = settle(protocol.settle_s, say)
    before = read_conditions()  # before anything is run, so that the load it reads is not ours
    runtime = load_runtime()
    tried = [try_settings(path, runtime, choices, say) for path in paths]
    models = [load_model(path, runtime, one[0]) for path, one in zip(paths, tried)]
    colds = []
    for number, (path, one) in enumerate(zip(paths, tried)):
        say("cold starts", number, len(paths))
        colds.append(cold_starts(path, one[0], protocol.cold_starts))
    others = OthersLoad()
    measure_in_turns(models, protocol, "runs", say)
    after, share = read_conditions(), others.share()
    shared = _Shared(started, runtime, protocol, settling, before, after, share, device_facts())
    reports = [shared.report(loaded, rows, cold) for loaded, (_, rows), cold in zip(models, tried, colds)]
    if protocol.profile:
        for path, one, report in zip(paths, tried, reports):
            report["profile"] = time_operators(path, runtime, one[0], say)
    _sustain_all(models, reports, protocol, say)
    return reports


def _sustain_all(
    models: list[LoadedModel], reports: list[dict[str, Any]], protocol: Protocol, say: Say
) -> None:
    """Measure sustained load, after everything else because it leaves the device hot.

    Before every model but the first, the device settles again, as the protocol says.
    """
    if not protocol.sustained_s:
        return
    for number, (loaded, report) in enumerate(zip(models, reports)):
        if number:
            settle(protocol.settle_s, say)
        stage = f"sustained load, {loaded.model.path.name}"
        report["sustained"] = sustain(loaded, protocol.sustained_s, stage, say)


@dataclass(frozen=True)
class _Shared:
    """What all reports of one measurement have in common."""

    started: str
    runtime: Runtime
    protocol: Protocol
    settling: dict[str, Any]
    before: Conditions
    after: Conditions
    others_share: float | None
    device: dict[str, Any]

    def report(
        self, loaded: LoadedModel, tried: list[dict[str, Any]], cold: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the report of one model."""
        delegate = find_delegate(loaded.interpreter)
        during = tuple(seen for _, seen in loaded.readings)
        cores = self.device["cores"] or 1
        samples = loaded.samples
        medians = group_medians_ms(samples)
        evidence = Evidence(
            samples.size, medians, self.before, self.after, delegate, cores, self.others_share, during
        )
        entries = {
            "route": ROUTE,
            "started": self.started,
            "model": model_facts(loaded.model, operator_kinds(loaded.interpreter)),
            "runtime": {"name": self.runtime.name, "version": self.runtime.version},
            "device": self.device,
            "threads": loaded.setting.threads,
            "affinity": list(loaded.setting.cpus.cpus),
            "cpu_sets": cpu_set_facts(found_sets()),
            "tried": tried,
            "settling": self.settling,
            "during": [reading_facts(at, seen) for at, seen in loaded.readings],
            "cold_start": cold,
            "steady_state": _steady(loaded, self.protocol),
            "peak_memory_bytes": peak_of(cold),
        }
        return report_form(evidence, self.protocol, entries)


def _steady(loaded: LoadedModel, protocol: Protocol) -> dict[str, Any]:
    return {
        **summarize(loaded.samples),
        "percentile_rule": PERCENTILE_RULE,
        "warmup_runs": protocol.warmup,
        "min_seconds": protocol.min_seconds,
        "block_sizes": [int(block.size) for block in loaded.blocks],
        "samples_ns": loaded.samples.tolist(),
    }


def cold_starts(path: Path, setting: Setting, times: int) -> dict[str, Any]:
    """Start `times` fresh processes; return the medians over all of them, and each one's times.

    Each imports, loads and runs once, as an application does when it is opened. `total_ms` is the time from
    starting the process until it reports that its first inference is done.

    Raises:
        EdgenetError: one process failed; the message says why.
    """
    with staying_on(setting.cpus):
        samples = [_cold_start(path, setting.threads) for _ in range(times)]
    medians = {name: percentile(np.array([one[name] for one in samples]), 50) for name in COLD_START_STEPS}
    return {"n": times, **medians, "samples": samples}


def peak_of(cold: dict[str, Any]) -> int | None:
    """Return the highest peak memory of all cold starts, in bytes; None where /proc does not report it."""
    peaks = [one["peak_memory_bytes"] for one in cold["samples"]]
    return None if None in peaks else max(peaks)


def _environment() -> dict[str, str]:
    """Return this process's environment, in which a child imports the same `edgenet_device` as this process."""
    folders = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


def _cold_start(path: Path, threads: int) -> dict[str, Any]:
    start = time.perf_counter_ns()
    command = [sys.executable, "-m", "edgenet_device", "time-cold-start", str(path), str(threads)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=_environment()) as child:
        line = child.stdout.readline() if child.stdout else ""
        total = (time.perf_counter_ns() - start) / 1e6
        try:
            _, complaint = child.communicate(timeout=_COLD_START_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complaint = "it does not finish"
    try:
        return {**json.loads(line), "total_ms": total}
    except json.JSONDecodeError:
        last = (complaint.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise EdgenetError(
            f"a cold start of {path} failed: {last}", f"run {' '.join(command[1:4])} by hand"
        ) from None
