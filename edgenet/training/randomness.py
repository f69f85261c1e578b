"""Random numbers by their place in the training: (seed, purpose, epoch, step) gives a generator, nothing is carried on.

A training that stops anywhere therefore needs no state of generators to go on as if it had not stopped, and processes
that share the work draw the same numbers without telling each other.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What is drawn; numbers for one purpose do not depend on how many another took."""

    ORDER = 1
    AUGMENTATION = 2
    MIXUP = 3
    NETWORK = 4
    WEIGHTS = 5


def generator(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """numpy's generator for one place in the training."""
    return np.random.default_rng([seed, purpose, epoch, step])


def seed_torch(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0, process: int = 0) -> None:
    """Sets torch's own generators, which dropout and fresh weights draw from."""
    sequence = np.random.SeedSequence([seed, purpose, epoch, step, process])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
