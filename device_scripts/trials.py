"""Finds the fastest threads and CPUs in short alternating trials, before the measurement that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .affinity import Setting
from .contenders import Contender, load_contender, measure_in_turns
from .protocol import QUICK
from .runtime import Runtime
from .sample_statistics import summarize
from .settling import Say

SAME = 0.02


def try_settings(
    path: Path, runtime: Runtime, choices: list[Setting], say: Say
) -> tuple[Setting, list[dict[str, Any]]]:
    """Return the fastest setting by the quick protocol, and a row per choice; no rows if there is only one.

    Of the settings whose p50 is within 2 % of the lowest, the first of `choices` is returned:
    `affinity.settings` lists all CPUs and fewer threads first.

    Raises:
        EdgenetError: the model cannot be used.
    """
    if len(choices) == 1:
        return choices[0], []
    contenders = [load_contender(path, runtime, choice) for choice in choices]
    measure_in_turns(contenders, QUICK, f"threads and CPUs for {path.name}", say)
    lowest = min(contender.p50_ms for contender in contenders)
    best = next(contender for contender in contenders if contender.p50_ms <= lowest * (1 + SAME))
    return best.setting, [_row(contender, contender is best) for contender in contenders]


def _row(contender: Contender, best: bool) -> dict[str, Any]:
    setting, summary = contender.setting, summarize(contender.samples)
    return {
        "threads": setting.threads,
        "cpus": setting.cpus.name,
        "n": summary["n"],
        "p50_ms": summary["p50_ms"],
        "p90_ms": summary["p90_ms"],
        "best": best,
    }
