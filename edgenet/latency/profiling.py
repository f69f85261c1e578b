"""Timing every operator of a network on a device."""

from __future__ import annotations

from pathlib import Path

from edgenet.latency.measuring import measure_on
from edgenet.latency.options import BenchOptions
from edgenet.latency.profile import Profile, by_kind, operator_times
from edgenet.progress import Progress, silent


def profile(target: str, model: Path, progress: Progress = silent) -> Profile:
    """Measure a model and its operators with the quick protocol.

    Raises:
        EdgenetError: see `measure_on`.
    """
    (report,) = measure_on(target, [model], BenchOptions(profile=True), progress)
    found, device = report["profile"], report["device"]
    operators = operator_times(found)
    return Profile(
        target=target,
        device=device["model"] or device["cpu"] or "unknown",
        method=found["method"],
        clock=found["clock"],
        threads=found["threads"],
        p50_ms=report["steady_state"]["p50_ms"],
        valid=report["valid"],
        reasons=tuple(report["reasons"]),
        operators=operators,
        kinds=by_kind(operators),
    )
