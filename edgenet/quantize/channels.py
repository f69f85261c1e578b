"""Measure how well the channels of an int8 tensor use the 256 steps that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OUTLIER = 8.0


@dataclass(frozen=True)
class ChannelUse:
    """How the channels of one tensor use its int8 steps, measured on some photos.

    A channel's reach is its largest |x|. A tensor has only one scale, so a few channels with a far larger
    reach leave few steps to all others.

    Attributes:
        channels: number of channels.
        dead: number of channels whose int8 value never changes. A channel that changes by less than one step
            in float counts as dead too.
        outliers: number of channels whose reach is over 8 times the median reach of the channels that are not
            dead.
        reach: the largest reach divided by that median reach.
        median_bits: log2 of the number of steps between the smallest and the largest value, for the median
            channel that is not dead. It is 8 where all channels fill the range alike.
    """

    channels: int
    dead: int
    outliers: int
    reach: float
    median_bits: float


def channel_use(low: NDArray[np.int64], high: NDArray[np.int64], zero_point: int) -> ChannelUse:
    """Return the channel use, given the smallest and the largest int8 value of every channel, both [C]."""
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
