"""Random number generators for each place in a training, made anew from (seed, purpose, epoch, step).

No generator lives on from step to step. A training can therefore stop anywhere and resume with the same numbers without
saving any generator state, and processes that share the work draw the same numbers without communicating.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What random numbers are for. How many numbers one purpose draws does not affect any other purpose."""

    ORDER = 1
    AUGMENTATION = 2
    MIXUP = 3
    NETWORK = 4
    WEIGHTS = 5


def generator(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0) -> np.random.Generator:
    """Return the numpy generator for one place in the training."""
    return np.random.default_rng([seed, purpose, epoch, step])


def seed_torch(seed: int, purpose: Purpose, epoch: int = 0, step: int = 0, process: int = 0) -> None:
    """Seed torch's global generators for one place in the training; dropout and new weights draw from them."""
    sequence = np.random.SeedSequence([seed, purpose, epoch, step, process])
    torch.manual_seed(int(sequence.generate_state(1, np.uint64)[0] >> 1))
