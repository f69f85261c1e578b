"""What chance alone does to drops of top-1 on few photos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import comb, prod


def chance_within(decided: Sequence[int], photos: int) -> float:
    """How probable it is that the drops of several sets lie so near each other if a coin decides every photo.

    Args:
        decided: for each set, how many photos only one of both networks gets right; the drop is the difference between
            those that are lost and those that are won.
        photos: how far the largest drop may be from the smallest.
    """
    chances = [
        {2 * won - count: comb(count, won) / 2**count for won in range(count + 1)} for count in decided
    ]
    return sum(
        prod(chance for _, chance in drops)
        for drops in product(*(each.items() for each in chances))
        if max(drops)[0] - min(drops)[0] <= photos
    )
