"""How well the channels of an int8 tensor use the 256 steps that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OUTLIER = 8.0


@dataclass(frozen=True)
class ChannelUse:
    """The channels of one tensor on some photos.

    A channel's reach is its largest |x|. A tensor has one scale, so channels of far larger reach than the others
    leave these few steps.

    Attributes:
        channels: how many there are.
        dead: those that never change; a channel that changes by less than a step in float is among them.
        outliers: those that reach over 8 times as far as the median of the living ones.
        reach: how many times further than the median the furthest channel reaches.
        median_bits: log2 of the number of steps between the smallest and the largest value of the living channel in
            the middle: 8 where all channels fill the range alike.
    """

    channels: int
    dead: int
    outliers: int
    reach: float
    median_bits: float


def channel_use(low: NDArray[np.int64], high: NDArray[np.int64], zero_point: int) -> ChannelUse:
    """What the smallest and largest int8 value of every channel [C] say."""
    alive = high > low
    if not alive.any():
        return ChannelUse(len(low), len(low), 0, 1.0, 0.0)
    reach = np.maximum(np.abs(low - zero_point), np.abs(high - zero_point))[alive]
    middle = max(float(np.median(reach)), 1.0)
    return ChannelUse(
        channels=len(low),
        dead=int(len(low) - alive.sum()),
        outliers=int((reach > OUTLIER * middle).sum()),
        reach=float(reach.max()) / middle,
        median_bits=math.log2(float(np.median((high - low)[alive])) + 1),
    )
