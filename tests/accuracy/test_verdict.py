"""The verdict on a drop: above all, it never says "no loss" from too few photos."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.accuracy import Paired, compare, verdict


def paired(n: int, both: int, lost: int, won: int) -> Paired:
    kinds = [(1, 1)] * both + [(1, 0)] * lost + [(0, 1)] * won + [(0, 0)] * (n - both - lost - won)
    answers = np.array(kinds, bool).reshape(-1, 2)
    return compare(answers[:, 0], answers[:, 1])


@pytest.mark.parametrize("n", [1, 2, 10, 20, 50, 100, 200])
def test_equal_on_few_photos_is_not_no_loss(n: int) -> None:
    assert verdict(paired(n, n, 0, 0)).startswith("cannot tell: with ")


def test_no_loss_is_said_from_enough_photos_only() -> None:
    """The rule is the interval's upper end, whatever the number of photos."""
    for n in (300, 400, 500, 1000, 5000):
        found = paired(n, int(0.9 * n), n // 100, n // 100)
        said = verdict(found)
        assert said.startswith("a loss larger than 1 point is ruled out") == (found.interval.high <= 1.0), (
            said
        )
    assert verdict(paired(5000, 4000, 75, 75)).startswith(
        "a loss larger than 1 point is ruled out by 5,000 photos"
    )
    assert verdict(paired(5000, 4000, 75, 75), margin=0.4).startswith("cannot tell")


def test_a_loss_and_a_gain() -> None:
    said = verdict(paired(400, 320, 20, 4))
    assert said.startswith("loses 4.00 points of top-1, which chance does not explain (95 % interval")
    assert verdict(paired(400, 320, 4, 20)).startswith("gains 4.00 points")
    small = verdict(paired(50_000, 40_000, 750, 650))
    assert small.startswith("loses 0.20 points")  # within the margin, but it is there


def test_the_number_of_photos_needed() -> None:
    assert verdict(paired(400, 320, 3, 3)).endswith("about 5,500 photos would show a drop of half a point")
    assert verdict(paired(20, 19, 1, 0)).endswith("so few photos cannot even show how many would be enough")


def test_no_photos() -> None:
    assert verdict(paired(0, 0, 0, 0)) == "cannot tell: there are no photos"


def test_one_photo_is_one() -> None:
    assert "with 1 photo the drop" in verdict(paired(1, 1, 0, 0))
