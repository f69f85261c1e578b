"""Compares two networks on the same photos: what the second one loses and wins against the first."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy.intervals import Z95, Interval, difference

Z80 = 0.8416212335729143
"""The standard normal distribution's 80 % quantile."""


@dataclass(frozen=True)
class Paired:
    """The second network compared with the first.

    Attributes:
        n: number of photos.
        lost: number of photos that only the first network has right.
        won: number of photos that only the second network has right.
        drop: first minus second top-1, percentage points; negative if the second is better.
        interval: 95 % confidence interval of the drop, percentage points.
        p_value: p-value of McNemar's test.
    """

    n: int
    lost: int
    won: int
    drop: float
    interval: Interval
    p_value: float


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare two networks.

    Args:
        first: whether the first network is right on each photo [n].
        second: whether the second network is right on each of the same photos [n].
    """
    n = len(first)
    both, lost, won = (int(x.sum()) for x in (first & second, first & ~second, ~first & second))
    return Paired(
        n=n,
        lost=lost,
        won=won,
        drop=100 * (lost - won) / max(n, 1),
        interval=difference(both, lost, won, n - both - lost - won),
        p_value=mcnemar(lost, won),
    )


def mcnemar(lost: int, won: int) -> float:
    """Return the exact two-sided p-value: how often chance splits the changed photos at least this unevenly.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages", with the exact binomial distribution instead of its normal approximation. If no photo
    changed, the p-value is 1.
    """
    changed, fewer = lost + won, min(lost, won)
    # in logarithms, because the binomial coefficients of thousands of photos overflow a float
    logs = (
        math.lgamma(changed + 1) - math.lgamma(k + 1) - math.lgamma(changed - k + 1) for k in range(fewer + 1)
    )
    tail = math.fsum(math.exp(log - changed * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def photos_to_tell(drop: float, lost: int, won: int, n: int) -> int:
    """Return how many photos would show a drop with 80 % probability, at the same share of changed answers.

    Source: Connett, Smith and McHugh 1987, "Sample size and power for pair-matched case-control studies":
    (z_0.975 sqrt(s) + z_0.8 sqrt(s - d^2))^2 / d^2, where s is the share of changed answers and d the drop as
    a share. Half a photo is added to each of the four cells to estimate s (Agresti and Min 2005), so that it
    is never zero.

    Args:
        drop: the drop to show, percentage points, above zero.
        lost: number of the `n` photos that only the first network has right.
        won: number of the `n` photos that only the second network has right.
        n: number of photos.
    """
    d = drop / 100
    share = max((lost + won + 1) / (n + 2), d)
    return math.ceil((Z95 * math.sqrt(share) + Z80 * math.sqrt(share - d * d)) ** 2 / d**2)
