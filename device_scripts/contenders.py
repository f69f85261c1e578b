"""Models measured in turns, block by block, so that whatever drifts on the device drifts for all of them."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .affinity import Setting, staying_on
from .conditions import Conditions, look
from .model_file import ModelFile, open_model
from .protocol import Protocol
from .runtime import Runtime, make_interpreter
from .sample_statistics import percentile
from .settling import Say
from .steady_state import fill_input, sample


@dataclass
class Contender:
    """A model, loaded with one setting, and what was measured of it.

    Attributes:
        blocks: int64 [n], nanoseconds, one array for each block.
        looks: the conditions after each block, with the second at which it ended.
    """

    model: ModelFile
    interpreter: Any
    setting: Setting
    blocks: list[np.ndarray] = field(default_factory=list)
    looks: list[tuple[float, Conditions]] = field(default_factory=list)

    @property
    def samples(self) -> np.ndarray:
        """All of them, in order."""
        return np.concatenate(self.blocks)

    @property
    def p50_ms(self) -> float:
        """Of all samples."""
        return percentile(self.samples, 50) / 1e6


def load_contender(path: Path, runtime: Runtime, setting: Setting) -> Contender:
    """Opens a model; the threads of its interpreter stay on the setting's CPUs, for threads inherit that.

    Raises:
        EdgenetError: the model cannot be used.
    """
    model = open_model(path)
    with staying_on(setting.cpus):
        interpreter = make_interpreter(runtime, model, setting.threads)
        fill_input(interpreter)
    return Contender(model, interpreter, setting)


def measure_in_turns(contenders: list[Contender], protocol: Protocol, stage: str, say: Say) -> None:
    """Fills the contenders' blocks: each has one in every round, and every other round goes backwards.

    So a drift that is even in time costs all of them the same (the order ABBA).
    """
    began = time.monotonic()
    runs, seconds = math.ceil(protocol.runs / protocol.blocks), protocol.min_seconds / protocol.blocks
    for number in range(protocol.blocks):
        say(stage, number, protocol.blocks)
        for contender in contenders[:: -1 if number % 2 else 1]:
            with staying_on(contender.setting.cpus):
                warmup = protocol.warmup if number == 0 else min(protocol.warmup, 1)
                block = sample(contender.interpreter.invoke, runs, seconds, warmup)
            contender.blocks.append(block)
            contender.looks.append((time.monotonic() - began, look()))
    say(stage, protocol.blocks, protocol.blocks)
