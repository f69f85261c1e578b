"""How far chance alone spreads the top-1 drops of several calibration sets, on few photos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import comb, prod


def chance_within(decided: Sequence[int], photos: int) -> float:
    """Return the probability that the drops of several sets lie this close together if a coin decides every photo.

    Args:
        decided: for each set, the number of photos that exactly one of the two networks gets right. The drop is the
            number of these that int8 loses minus the number that it wins.
        photos: the largest allowed difference between two drops, in photos.
    """
    chances = [
        {2 * won - count: comb(count, won) / 2**count for won in range(count + 1)} for count in decided
    ]
    return sum(
        prod(chance for _, chance in drops)
        for drops in product(*(each.items() for each in chances))
        if max(drops)[0] - min(drops)[0] <= photos
    )
