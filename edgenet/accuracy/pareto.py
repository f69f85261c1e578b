"""The Pareto front: the networks that no other beats at both cost and accuracy."""

from __future__ import annotations

from collections.abc import Sequence


def on_front(costs: Sequence[float], gains: Sequence[float]) -> tuple[bool, ...]:
    """Return for each of n points whether it is on the front.

    A point is on the front unless another point costs no more, gains no less, and is better in one of the
    two. Equal points are all on the front, or all not.

    Args:
        costs: the points' costs [n]; less is better.
        gains: the points' gains [n]; more is better.
    """
    points = list(zip(costs, gains, strict=True))
    return tuple(
        not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
        for cost, gain in points
    )
