"""Measures several models alternately, block by block, so that the device's drift affects them alike."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import numpy as np

from edgenet_device.entry import usable_cpus
from edgenet_device.latency.affinity import Setting, staying_on
from edgenet_device.latency.conditions import Conditions, hottest, load, read_conditions
from edgenet_device.latency.report import MAX_LOAD_PER_CORE, QUICK, Protocol
from edgenet_device.latency.samples import fill_input, percentile, sample, summarize, sustained
from edgenet_device.model_file import ModelFile, open_model
from edgenet_device.runtime import Runtime, make_interpreter

Say = Callable[[str, int, int], None]
"""A function that receives progress: the stage's name, how much of it is done, and how much there is."""
SAME = 0.02
"""Settings whose p50 differs by at most this share count as equally fast."""
SUSTAINED_STEP_S = 1.0
SUSTAINED_WINDOW_S = 30.0
STEADY_S = 10.0
"""A device has cooled down when its temperature has not fallen for this long ..."""
STEADY_CELSIUS = 0.5
"""... by more than this."""
CALM_PER_CORE = 0.6 * MAX_LOAD_PER_CORE
"""Load per core that counts as idle; below the limit of validity, because measuring itself adds load."""
_SETTLE_STEP_S = 1.0


@dataclass
class LoadedModel:
    """A model loaded with one setting, and its measurements so far.

    Attributes:
        blocks: one array for each block: int64 [n], nanoseconds of each run.
        readings: for each block, when it ended (seconds since the measurement began) and the conditions then.
    """

    model: ModelFile
    interpreter: Any
    setting: Setting
    blocks: list[np.ndarray] = field(default_factory=list)
    readings: list[tuple[float, Conditions]] = field(default_factory=list)

    @property
    def samples(self) -> np.ndarray:
        """The samples of all blocks in order, int64 [n], nanoseconds."""
        return np.concatenate(self.blocks)

    @property
    def p50_ms(self) -> float:
        """The median of all samples, milliseconds."""
        return percentile(self.samples, 50) / 1e6


def load_model(path: Path, runtime: Runtime, setting: Setting) -> LoadedModel:
    """Open a model with one setting; its interpreter's threads inherit the pinning to the setting's CPUs.

    Raises:
        EdgenetError: the model cannot be used.
    """
    model = open_model(path)
    with staying_on(setting.cpus):
        interpreter = make_interpreter(runtime, model, setting.threads)
        fill_input(interpreter)
    return LoadedModel(model, interpreter, setting)


def measure_in_turns(models: list[LoadedModel], protocol: Protocol, stage: str, say: Say) -> None:
    """Fill the models' blocks: each model gets one block per round; every other round runs in reverse order.

    In this order (ABBA) a drift that is linear in time costs all models the same.

    Args:
        say: called with `stage`, the number of rounds done and the number of rounds, to report progress.
    """
    began = time.monotonic()
    runs, seconds = math.ceil(protocol.runs / protocol.blocks), protocol.min_seconds / protocol.blocks
    for number in range(protocol.blocks):
        say(stage, number, protocol.blocks)
        for loaded in models[:: -1 if number % 2 else 1]:
            with staying_on(loaded.setting.cpus):
                warmup = protocol.warmup if number == 0 else min(protocol.warmup, 1)
                block = sample(loaded.interpreter.invoke, runs, seconds, warmup)
            loaded.blocks.append(block)
            loaded.readings.append((time.monotonic() - began, read_conditions()))
    say(stage, protocol.blocks, protocol.blocks)


def try_settings(
    path: Path, runtime: Runtime, choices: list[Setting], say: Say
) -> tuple[Setting, list[dict[str, Any]]]:
    """Return the fastest setting by the quick protocol, and a row per choice; no rows if there is only one.

    Of the settings whose p50 is within 2 % of the lowest, the first of `choices` is returned:
    `thread_cpu_settings` lists all CPUs and fewer threads first.

    Raises:
        EdgenetError: the model cannot be used.
    """
    if len(choices) == 1:
        return choices[0], []
    models = [load_model(path, runtime, choice) for choice in choices]
    measure_in_turns(models, QUICK, f"threads and CPUs for {path.name}", say)
    lowest = min(loaded.p50_ms for loaded in models)
    best = next(loaded for loaded in models if loaded.p50_ms <= lowest * (1 + SAME))
    return best.setting, [_row(loaded, loaded is best) for loaded in models]


def _row(loaded: LoadedModel, best: bool) -> dict[str, Any]:
    setting, summary = loaded.setting, summarize(loaded.samples)
    return {
        "threads": setting.threads,
        "cpus": setting.cpus.name,
        "n": summary["n"],
        "p50_ms": summary["p50_ms"],
        "p90_ms": summary["p90_ms"],
        "best": best,
    }


def sustain(loaded: LoadedModel, seconds: float, stage: str, say: Say) -> dict[str, Any]:
    """Run a model without a pause for `seconds`, and record its latency and the device's state every second.

    Args:
        say: called with `stage`, the seconds so far, and `seconds`, to report progress.

    Returns:
        for the report: the p50 of the first and of the last 30 s, their ratio, and the curve.
    """
    began = time.monotonic()
    blocks: list[np.ndarray] = []
    curve: list[dict[str, Any]] = []
    with staying_on(loaded.setting.cpus):
        while (elapsed := time.monotonic() - began) < seconds:
            say(stage, int(elapsed), int(seconds))
            blocks.append(sample(loaded.interpreter.invoke, 1, SUSTAINED_STEP_S, 0))
            curve.append({"at_s": round(time.monotonic() - began, 2), **_point(blocks[-1])})
    say(stage, int(seconds), int(seconds))
    ends = [point["at_s"] for point in curve]
    halves = sustained(blocks, ends, SUSTAINED_WINDOW_S)
    return {"seconds": ends[-1], "n": sum(block.size for block in blocks), **halves, "curve": curve}


def _point(block: np.ndarray) -> dict[str, Any]:
    seen = read_conditions()
    return {
        "p50_ms": percentile(block, 50) / 1e6,
        "p90_ms": percentile(block, 90) / 1e6,
        "hottest_celsius": hottest(seen.temperatures_celsius),
        "highest_mhz": max(seen.frequencies_mhz.values()) if seen.frequencies_mhz else None,
        "throttled": (seen.throttling or {}).get("now", []),
    }


def settle(longest_s: float, say: Say) -> dict[str, Any]:
    """Wait at most `longest_s` seconds until the load, throttling and heat of earlier programs have gone.

    Args:
        say: called once per second with what is being waited for and the seconds waited.

    Returns:
        for the report: how long it waited, whether the device settled, what was still being waited for, and
        the hottest sensor's temperature before and after.
    """
    began = time.monotonic()
    cooling = _Cooling()
    first = seen = read_conditions()
    while True:
        elapsed = time.monotonic() - began
        waiting_for = _waiting_for(seen, cooling.falls(seen, elapsed))
        if not waiting_for or elapsed >= longest_s:
            break
        say(f"waiting for the device ({', '.join(waiting_for)})", int(elapsed), int(longest_s))
        time.sleep(min(_SETTLE_STEP_S, longest_s - elapsed))
        seen = read_conditions()
    return {
        "waited_s": round(elapsed, 1),
        "longest_s": longest_s,
        "settled": not waiting_for,
        "waiting_for": waiting_for,
        "hottest_celsius": [hottest(first.temperatures_celsius), hottest(seen.temperatures_celsius)],
    }


class _Cooling:
    """Follows the temperature to tell whether it is still falling."""

    def __init__(self) -> None:
        self._lowest: float | None = None
        self._since = 0.0

    def falls(self, seen: Conditions, now_s: float) -> bool:
        """Return whether the temperature fell in the last STEADY_S seconds; False without a thermometer."""
        degrees = hottest(seen.temperatures_celsius)
        if degrees is None:
            return False
        if self._lowest is None or degrees < self._lowest - STEADY_CELSIUS:
            self._lowest, self._since = degrees, now_s
        return now_s - self._since < STEADY_S


def _waiting_for(seen: Conditions, falling: bool) -> list[str]:
    average = load()
    busy = average is not None and average > CALM_PER_CORE * len(usable_cpus())
    reasons = [f"load {average:.2f}"] if busy else []
    reasons += (seen.throttling or {}).get("now", [])
    return [*reasons, "temperature"] if falling else reasons
