"""McNemar's exact test and the planning of photos, beside published figures and exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from edgenet.accuracy import compare, mcnemar, photos_to_tell


@pytest.mark.parametrize(
    ("lost", "won", "p_value"),
    [
        (121, 59, 4.434449e-06),  # statsmodels' documented example of the exact test
        (
            1,
            7,
            0.0703,
        ),  # Fagerland, Lydersen and Laake 2013, "The McNemar test for binary matched-pairs data"
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 2 / 64),
    ],
)
def test_mcnemar_as_published(lost: int, won: int, p_value: float) -> None:
    assert mcnemar(lost, won) == pytest.approx(p_value, rel=1e-3)
    assert mcnemar(won, lost) == mcnemar(lost, won)


@pytest.mark.parametrize(("lost", "won"), [(3, 9), (40, 61), (700, 800), (2000, 2150)])
def test_mcnemar_in_whole_numbers(lost: int, won: int) -> None:
    tail = sum(comb(lost + won, k) for k in range(min(lost, won) + 1))
    assert mcnemar(lost, won) == pytest.approx(float(Fraction(2 * tail, 2 ** (lost + won))), rel=1e-8)


def test_compare_counts_photos() -> None:
    first = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool)
    second = np.array([1, 0, 0, 0, 1, 0, 0, 0], bool)
    found = compare(first, second)
    assert (found.n, found.lost, found.won, found.drop) == (8, 3, 1, 25.0)
    assert found.interval.low < 25 < found.interval.high
    assert found.p_value == pytest.approx(0.625)


def test_compare_no_photos() -> None:
    nothing = np.zeros(0, bool)
    found = compare(nothing, nothing)
    assert (found.n, found.drop, found.p_value) == (0, 0.0, 1.0)


def test_photos_to_tell_is_enough_four_times_of_five() -> None:
    """As many photos as it says show a drop of 2 points, by a test at 5 %, in about 80 % of draws."""
    wanted = photos_to_tell(2.0, 24, 16, 1000)
    chance = np.random.default_rng(0)
    share = 41 / 1002
    counts = chance.multinomial(wanted, [share / 2 + 0.01, share / 2 - 0.01, 1 - share], size=1000)
    z = (counts[:, 0] - counts[:, 1]) / np.sqrt(counts[:, 0] + counts[:, 1])
    assert 0.75 <= (z > 1.96).mean() <= 0.85


def test_photos_to_tell_never_needs_a_changed_answer() -> None:
    assert photos_to_tell(0.5, 0, 0, 400) > 400
    assert photos_to_tell(0.5, 0, 0, 10**6) > 0
