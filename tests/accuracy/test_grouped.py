"""The interval that counts groups of photos: it is Wilson's for single photos, and holds the truth for bursts."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.accuracy import effective_photos, grouped_interval, wilson


def test_single_photos_give_wilsons_interval() -> None:
    right = np.arange(40) % 5 != 0
    found, expected = grouped_interval(right, np.arange(40)), wilson(32, 40)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("hits", [0, 3, 8])
def test_equal_groups_count_as_one_photo_each(hits: int) -> None:
    right = np.repeat(np.arange(8) < hits, 30)
    found, expected = grouped_interval(right, np.repeat(np.arange(8), 30)), wilson(hits, 8)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_a_classifier_that_learned_from_more_may_be_better() -> None:
    right, groups = np.arange(20) < 12, np.arange(20)
    final, crossed = grouped_interval(right, groups), grouped_interval(right, groups, trained_share=0.5)
    assert crossed.low == final.low
    assert 100 - crossed.high == pytest.approx((100 - final.high) / 2**0.5)


def test_one_large_burst_among_single_photos_is_worth_little_more_than_one() -> None:
    groups = np.concatenate([np.zeros(90, int), np.arange(1, 11)])
    assert effective_photos(groups) == pytest.approx(100**2 / (90**2 + 10))
    found = grouped_interval(np.ones(100, bool), groups)
    assert found.low < 30
    assert found.high == 100


def test_no_photos_say_nothing_and_unequal_lengths_are_refused() -> None:
    nothing = grouped_interval(np.zeros(0, bool), np.zeros(0, int))
    assert (nothing.low, nothing.high) == (0.0, 100.0)
    with pytest.raises(ValueError, match="3 photos and 2 groups"):
        grouped_interval(np.ones(3, bool), np.zeros(2, int))


@pytest.mark.parametrize("correlation", [0.3, 0.7, 0.95])
def test_the_interval_holds_the_truth_in_nine_of_ten_draws_of_bursts(correlation: float) -> None:
    rng, truth, draws = np.random.default_rng(0), 0.85, 400
    spread = (1 - correlation) / correlation
    held = by_photos = 0
    for _ in range(draws):
        sizes = rng.integers(1, 31, 15)
        chance = rng.beta(truth * spread, (1 - truth) * spread, 15)
        right = rng.random(sizes.sum()) < np.repeat(chance, sizes)
        found = grouped_interval(right, np.repeat(np.arange(15), sizes))
        held += found.low <= 100 * truth <= found.high
        photos = wilson(int(right.sum()), len(right))
        by_photos += photos.low <= 100 * truth <= photos.high
    assert held >= 0.9 * draws
    assert by_photos < 0.85 * draws  # counting photos would claim too much
