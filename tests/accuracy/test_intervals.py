"""Confidence intervals beside published worked examples, and at the edges."""

from __future__ import annotations

import random

import pytest

from edgenet.accuracy import difference, wilson


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3
        (81, 263, 25.53, 36.62),
        (15, 148, 6.24, 16.05),
        (0, 20, 0.0, 16.11),
        (1, 29, 0.61, 17.18),
    ],
)
def test_wilson_as_published(hits: int, n: int, low: float, high: float) -> None:
    found = wilson(hits, n)
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        # Newcombe 1998, "... based on paired data", table II, method 10
        ((36, 12, 2, 0), 5.69, 34.04),
        # Altman, Machin, Bryant and Gardner 2000, "Statistics with confidence", table 6.2
        ((14, 5, 0, 22), 1.1, 22.6),
        # Fagerland, Lydersen and Laake 2014: airway hyper-responsiveness before and after a transplantation
        ((1, 1, 7, 12), -50.7, -2.6),
    ],
)
def test_difference_as_published(table: tuple[int, int, int, int], low: float, high: float) -> None:
    found = difference(*table)
    assert found.low == pytest.approx(low, abs=0.06)
    assert found.high == pytest.approx(high, abs=0.06)


def test_no_photos_say_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 100.0)
    assert (difference(0, 0, 0, 0).low, difference(0, 0, 0, 0).high) == (-100.0, 100.0)


@pytest.mark.parametrize("n", [1, 2, 20, 1000])
def test_all_or_none_right(n: int) -> None:
    """The observed end of the interval is exact; the other end stays uncertain."""
    assert wilson(n, n).high == 100.0
    assert wilson(0, n).low == 0.0
    assert 0 < wilson(0, n).high < 100
    same = difference(n, 0, 0, 0)
    assert same.low == pytest.approx(-same.high)
    assert same.high > 0


def test_one_photo_can_be_anything_near() -> None:
    lost = difference(0, 1, 0, 0)
    assert lost.low < 0
    assert lost.high == pytest.approx(100)


def test_exchanging_the_networks_turns_the_interval_round() -> None:
    forth, back = difference(50, 7, 2, 9), difference(50, 2, 7, 9)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Draw 400 photos 1,000 times with a known drop of 0.5 points."""
    chance = random.Random(0)
    held = 0
    for _ in range(1000):
        kinds = chance.choices(range(4), (0.80, 0.0175, 0.0125, 0.17), k=400)
        found = difference(*(kinds.count(kind) for kind in range(4)))
        held += found.low <= 0.5 <= found.high
    assert 930 <= held <= 990
