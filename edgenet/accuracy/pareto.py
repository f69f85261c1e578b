"""The Pareto front: the networks that no other beats at both cost and accuracy."""

from __future__ import annotations

from collections.abc import Sequence


def on_front(costs: Sequence[float], gains: Sequence[float]) -> tuple[bool, ...]:
    """Which of n points are on the front.

    A point is on it unless another costs no more and gains no less, and is better in one of the two; of equal points
    all are.

    Args:
        costs: less is better [n].
        gains: more is better [n].
    """
    points = list(zip(costs, gains, strict=True))
    return tuple(
        not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
        for cost, gain in points
    )
