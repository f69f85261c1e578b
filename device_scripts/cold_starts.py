"""Times cold starts: fresh processes that import, load and run once, as an application does when opened."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from .affinity import Setting, staying_on
from .errors import EdgenetError
from .sample_statistics import percentile

_TIMEOUT_S = 600
STEPS = ("import_ms", "load_ms", "first_inference_ms", "total_ms")


def cold_starts(path: Path, setting: Setting, times: int) -> dict[str, Any]:
    """Start `times` fresh processes; return the medians over all of them, and each one's times.

    `total_ms` is the time from starting the process until it reports that its first inference is done.

    Raises:
        EdgenetError: one process failed; the message says why.
    """
    with staying_on(setting.cpus):
        samples = [_cold_start(path, setting.threads) for _ in range(times)]
    medians = {name: percentile(np.array([one[name] for one in samples]), 50) for name in STEPS}
    return {"n": times, **medians, "samples": samples}


def peak_of(cold: dict[str, Any]) -> int | None:
    """Return the highest peak memory of all cold starts, in bytes; None where /proc does not report it."""
    peaks = [one["peak_memory_bytes"] for one in cold["samples"]]
    return None if None in peaks else max(peaks)


def _cold_start(path: Path, threads: int) -> dict[str, Any]:
    script = Path(__file__).resolve().with_name("cold_start.py")
    start = time.perf_counter_ns()
    command = [sys.executable, str(script), str(path), str(threads)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        line = child.stdout.readline() if child.stdout else ""
        total = (time.perf_counter_ns() - start) / 1e6
        try:
            _, complaint = child.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            complaint = "it does not finish"
    try:
        return {**json.loads(line), "total_ms": total}
    except json.JSONDecodeError:
        last = (complaint.strip().splitlines() or [f"exit status {child.returncode}"])[-1]
        raise EdgenetError(f"a cold start of {path} failed: {last}", "run cold_start.py by hand") from None
