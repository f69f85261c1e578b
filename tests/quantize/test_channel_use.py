"""How the channels of one tensor share its steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgenet.quantize.quantization_errors import channel_use


def use(*pairs: tuple[int, int], zero_point: int = 0):  # type: ignore[no-untyped-def]
    low, high = np.array(pairs).T
    return channel_use(low, high, zero_point)


def test_equal_channels() -> None:
    found = use((-128, 127), (-128, 127), (-128, 127))
    assert (found.channels, found.dead, found.outliers) == (3, 0, 0)
    assert (found.reach, found.median_bits) == (1.0, 8.0)


def test_a_channel_that_never_changes_is_dead_whatever_it_holds() -> None:
    found = use((0, 0), (90, 90), (-10, 5))
    assert (found.dead, found.outliers) == (2, 0)
    assert found.median_bits == pytest.approx(math.log2(16))


def test_one_far_channel_leaves_the_others_few_steps() -> None:
    found = use((0, 127), (0, 3), (0, 3), (0, 3))
    assert found.outliers == 1
    assert found.reach == pytest.approx(127 / 3)
    assert found.median_bits == 2.0


def test_eight_times_as_far_is_not_yet_an_outlier() -> None:
    assert use((0, 80), (0, 10), (0, 10)).outliers == 0
    assert use((0, 81), (0, 10), (0, 10)).outliers == 1


def test_reach_counts_from_the_zero_point() -> None:
    assert use((-128, 127), (-128, -126), (-128, -126), zero_point=-128).reach == pytest.approx(255 / 2)


def test_nothing_alive() -> None:
    found = use((5, 5), (7, 7))
    assert (found.dead, found.outliers, found.reach, found.median_bits) == (2, 0, 1.0, 0.0)
