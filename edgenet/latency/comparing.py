"""Is one network really faster than another? The difference of their medians, and how sure it is.

The samples of one block are alike (the clock, the heat, the neighbours are the same), so it is blocks that are drawn
again and again, not single runs: the block bootstrap (Künsch, The Jackknife and the Bootstrap for General Stationary
Observations, 1989) with percentile intervals (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
13). Blocks that were measured in turns are drawn in pairs, which takes out what drifted for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
RUN_TO_RUN = 0.05
"""What two valid reports of the same network may differ by: as validity.MAX_DRIFT for the repeats within one."""


@dataclass(frozen=True)
class Interval:
    """A figure and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How b compares with a.

    Attributes:
        difference_ms: median of b less median of a.
        ratio: median of b over median of a.
        paired: whether their blocks were measured in turns.
        verdict: "faster", "slower", "no difference" or "cannot tell", of b.
        why: the verdict in words.
    """

    difference_ms: Interval
    ratio: Interval
    paired: bool
    verdict: str
    why: str


def difference(a: Sequence[NDArray], b: Sequence[NDArray], paired: bool) -> Difference:
    """Compares two measurements.

    Args:
        a: blocks of samples, milliseconds; `b` likewise, as many where they are paired.
        paired: whether block i of both was measured next to each other.
    """
    medians = [np.array([np.median(block) for block in blocks]) for blocks in (a, b)]
    drawn_a, drawn_b = _drawn(medians[0], medians[1], paired)
    whole = [float(np.median(values)) for values in medians]
    differences = Interval(whole[1] - whole[0], *_bounds(drawn_b - drawn_a))
    ratio = Interval(whole[1] / whole[0], *_bounds(drawn_b / drawn_a))
    verdict, why = _verdict(ratio, paired)
    return Difference(differences, ratio, paired, verdict, why)


def _drawn(a: NDArray, b: NDArray, paired: bool) -> tuple[NDArray, NDArray]:
    """Medians of `RESAMPLES` draws of each one's block medians, with replacement."""
    random = np.random.default_rng(0)
    first = random.integers(0, a.size, (RESAMPLES, a.size))
    second = first if paired else random.integers(0, b.size, (RESAMPLES, b.size))
    return np.median(a[first], axis=1), np.median(b[second], axis=1)


def _bounds(values: NDArray) -> tuple[float, float]:
    outside = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(values, [outside, 100 - outside])
    return float(low), float(high)


def _verdict(ratio: Interval, paired: bool) -> tuple[str, str]:
    if ratio.low <= 1 <= ratio.high:
        return "no difference", "the interval of the difference holds zero"
    word = "faster" if ratio.value < 1 else "slower"
    if paired:
        return word, "measured in turns, the interval of the difference does not hold zero"
    if ratio.high < 1 / (1 + RUN_TO_RUN) or ratio.low > 1 + RUN_TO_RUN:
        return (
            word,
            f"the difference is beyond the {RUN_TO_RUN:.0%} that separate runs of one network may differ by",
        )
    return (
        "cannot tell",
        f"separate runs of one network may differ by {RUN_TO_RUN:.0%}; compare the bundles themselves, in turns",
    )
