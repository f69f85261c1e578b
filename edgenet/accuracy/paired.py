"""Two networks on the very same photos: what the second lost and won against the first."""

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
    """The second network against the first.

    Attributes:
        n: photos.
        lost: those that only the first has right.
        won: those that only the second has right.
        drop: first minus second top-1, percentage points; below zero where the second is better.
        interval: of the drop.
        p_value: of McNemar's test.
    """

    n: int
    lost: int
    won: int
    drop: float
    interval: Interval
    p_value: float


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compares two networks.

    Args:
        first: whether the first network is right, photo by photo [n].
        second: the same of the second, on the same photos.
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
    """The exact p-value, two-sided: how often chance alone parts the changed photos so unevenly or worse.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages",
    with the binomial distribution itself in place of its normal approximation. Without a changed photo it is 1.
    """
    changed, fewer = lost + won, min(lost, won)
    # through logarithms: the binomial coefficients of thousands of photos leave the range of floats
    logs = (
        math.lgamma(changed + 1) - math.lgamma(k + 1) - math.lgamma(changed - k + 1) for k in range(fewer + 1)
    )
    tail = math.fsum(math.exp(log - changed * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def photos_to_tell(drop: float, lost: int, won: int, n: int) -> int:
    """How many photos would show a drop with a probability of 80 %, if as many answers change as among these.

    Source: Connett, Smith and McHugh 1987, "Sample size and power for pair-matched case-control studies":
    (z_0.975 sqrt(s) + z_0.8 sqrt(s - d^2))^2 / d^2 with s the share of changed answers. The share is taken
    with half a photo more in each of the four cells (Agresti and Min 2005), so that it is never zero.

    Args:
        drop: in points, above zero.
        lost: photos of `n` that only the first network has right.
        won: those that only the second has right.
        n: photos.
    """
    d = drop / 100
    share = max((lost + won + 1) / (n + 2), d)
    return math.ceil((Z95 * math.sqrt(share) + Z80 * math.sqrt(share - d * d)) ** 2 / d**2)
