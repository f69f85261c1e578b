"""Measures sustained load: how fast a model still runs after the device has been busy for a while."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .affinity import staying_on
from .conditions import hottest, look
from .contenders import Contender
from .sample_statistics import percentile, sustained
from .settling import Say
from .steady_state import sample

STEP_S = 1.0
WINDOW_S = 30.0


def sustain(contender: Contender, seconds: float, stage: str, say: Say) -> dict[str, Any]:
    """Run a model without a pause for `seconds`, and record its latency and the device's state every second.

    Args:
        say: called with `stage`, the seconds so far, and `seconds`, to report progress.

    Returns:
        for the report: the p50 of the first and of the last 30 s, their ratio, and the curve.
    """
    began = time.monotonic()
    blocks: list[np.ndarray] = []
    curve: list[dict[str, Any]] = []
    with staying_on(contender.setting.cpus):
        while (elapsed := time.monotonic() - began) < seconds:
            say(stage, int(elapsed), int(seconds))
            blocks.append(sample(contender.interpreter.invoke, 1, STEP_S, 0))
            curve.append({"at_s": round(time.monotonic() - began, 2), **_point(blocks[-1])})
    say(stage, int(seconds), int(seconds))
    ends = [point["at_s"] for point in curve]
    halves = sustained(blocks, ends, WINDOW_S)
    return {"seconds": ends[-1], "n": sum(block.size for block in blocks), **halves, "curve": curve}


def _point(block: np.ndarray) -> dict[str, Any]:
    seen = look()
    return {
        "p50_ms": percentile(block, 50) / 1e6,
        "p90_ms": percentile(block, 90) / 1e6,
        "hottest_celsius": hottest(seen.temperatures_celsius),
        "highest_mhz": max(seen.frequencies_mhz.values()) if seen.frequencies_mhz else None,
        "throttled": (seen.throttling or {}).get("now", []),
    }
