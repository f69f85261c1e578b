"""The interval of a difference: how often it is wrong, and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.latency.comparing import difference


def blocks(random: np.random.Generator, drift: np.ndarray, scale: float = 1.0) -> list[np.ndarray]:
    """One block for each step of the drift, with a disturbance of its own and the long tail of latencies."""
    return [scale * (10 + step + random.normal(0, 0.05) + random.gamma(2.0, 0.1, 40)) for step in drift]


@pytest.mark.parametrize("paired", [True, False])
def test_equal_networks_are_rarely_called_different(paired: bool) -> None:
    """A 95 % interval may be wrong once in twenty: in 200 trials with 10 blocks, 10 are expected and 20 are allowed."""
    random = np.random.default_rng(5)
    wrong = 0
    for _ in range(200):
        drift = random.normal(0, 0.1, 10)
        other = drift if paired else random.normal(0, 0.1, 10)
        found = difference(blocks(random, drift), blocks(random, other), paired)
        wrong += not found.ratio.low <= 1 <= found.ratio.high
    assert wrong <= 20


def test_pairs_see_through_a_drift() -> None:
    """The device slows down by 20 % during the run; b takes 3 % longer all the time."""
    random = np.random.default_rng(6)
    drift = np.linspace(0, 2, 30)
    a, b = blocks(random, drift), blocks(random, drift, scale=1.03)
    found = difference(a, b, paired=True)
    assert found.verdict == "slower"
    assert found.ratio.low < 1.03 < found.ratio.high
    assert found.difference_ms.low < 0.03 * 11 < found.difference_ms.high
    assert found.ratio.high - found.ratio.low < 0.06
    assert difference(b, a, paired=True).verdict == "faster"
    assert difference(a, b, paired=False).verdict == "no difference"  # for all it can see


def test_separate_runs_must_differ_by_more_than_runs_do() -> None:
    random = np.random.default_rng(7)
    a = blocks(random, np.zeros(10))
    close, far = (blocks(random, np.zeros(10), scale) for scale in (1.03, 1.2))
    found = difference(a, close, paired=False)
    assert found.ratio.low > 1
    assert found.verdict == "cannot tell"
    assert "compare the bundles themselves" in found.why
    assert difference(a, far, paired=False).verdict == "slower"
    assert difference(far, a, paired=False).verdict == "faster"


def test_the_same_twice_is_the_same() -> None:
    a = blocks(np.random.default_rng(8), np.zeros(10))
    assert difference(a, a, True).ratio == difference(a, a, True).ratio
    assert difference(a, a, True).verdict == "no difference"
