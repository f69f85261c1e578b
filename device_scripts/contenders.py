"""Measures several models alternately, block by block, so that the device's drift affects them alike."""

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
    """A model loaded with one setting, and its measurements so far.

    Attributes:
        blocks: one array for each block: int64 [n], nanoseconds of each run.
        looks: for each block, when it ended (seconds since the measurement began) and the conditions then.
    """

    model: ModelFile
    interpreter: Any
    setting: Setting
    blocks: list[np.ndarray] = field(default_factory=list)
    looks: list[tuple[float, Conditions]] = field(default_factory=list)

    @property
    def samples(self) -> np.ndarray:
        """The samples of all blocks in order, int64 [n], nanoseconds."""
        return np.concatenate(self.blocks)

    @property
    def p50_ms(self) -> float:
        """The median of all samples, milliseconds."""
        return percentile(self.samples, 50) / 1e6


def load_contender(path: Path, runtime: Runtime, setting: Setting) -> Contender:
    """Open a model with one setting; its interpreter's threads inherit the pinning to the setting's CPUs.

    Raises:
        EdgenetError: the model cannot be used.
    """
    model = open_model(path)
    with staying_on(setting.cpus):
        interpreter = make_interpreter(runtime, model, setting.threads)
        fill_input(interpreter)
    return Contender(model, interpreter, setting)


def measure_in_turns(contenders: list[Contender], protocol: Protocol, stage: str, say: Say) -> None:
    """Fill the contenders' blocks: each gets one block per round; every other round runs in reverse order.

    In this order (ABBA) a drift that is linear in time costs all contenders the same.

    Args:
        say: called with `stage`, the number of rounds done and the number of rounds, to report progress.
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
