"""The probability that chance alone keeps the drops of several calibration sets close together."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.quantizing.chance import chance_within


def test_one_photo_for_each_set_is_always_within_two() -> None:
    assert chance_within([1, 1, 1, 1], 2) == 1
    assert chance_within([1, 1, 1, 1], 1) == pytest.approx(2 / 16)  # all lost or all won


def test_two_photos_for_each_set_are_apart_where_one_loses_both_and_another_wins_both() -> None:
    neither = 2 * (3 / 4) ** 4 - (1 / 2) ** 4
    assert chance_within([2, 2, 2, 2], 2) == pytest.approx(neither)


def test_the_probability_agrees_with_tossed_coins() -> None:
    random, counts = np.random.default_rng(0), [9, 4, 4, 9]
    drops = np.stack([2 * random.binomial(count, 0.5, 200_000) - count for count in counts])
    assert chance_within(counts, 2) == pytest.approx((np.ptp(drops, axis=0) <= 2).mean(), abs=0.003)
