"""The Pareto front's definition, point by point."""

from __future__ import annotations

import pytest

from edgenet.accuracy import on_front


@pytest.mark.parametrize(
    ("costs", "gains", "front"),
    [
        ([], [], ()),
        ([1], [50], (True,)),
        ([1, 2, 3], [50, 60, 70], (True, True, True)),
        ([1, 2, 3], [50, 40, 70], (True, False, True)),
        ([1, 1], [50, 60], (False, True)),
        ([1, 2], [50, 50], (True, False)),
        ([1, 1, 2], [50, 50, 49], (True, True, False)),
        ([3, 1, 2], [90, 10, 95], (False, True, True)),
    ],
)
def test_front(costs: list[float], gains: list[float], front: tuple[bool, ...]) -> None:
    assert on_front(costs, gains) == front


def test_a_cost_for_every_gain() -> None:
    with pytest.raises(ValueError, match="zip"):
        on_front([1, 2], [3])
