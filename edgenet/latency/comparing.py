"""Is one network really faster than another? The difference of their medians, with a confidence interval.

The samples within a block are correlated (same clock, same temperature, same other programs), so we resample
whole blocks instead of single runs: the block bootstrap (Künsch, The Jackknife and the Bootstrap for General
Stationary Observations, 1989) with percentile intervals (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13). Blocks that were measured in turns are drawn in pairs, which cancels any drift
that both networks share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
CONFIDENCE = 0.95
RUN_TO_RUN = 0.05
"""Valid reports of one network may differ by this share, like the repeats within a report (`MAX_DRIFT`)."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How network b compares with network a.

    Attributes:
        difference_ms: median of b minus median of a, milliseconds.
        ratio: median of b divided by median of a.
        paired: whether their blocks were measured in turns.
        verdict: "faster", "slower", "no difference" or "cannot tell"; it describes b.
        why: the reason for the verdict.
    """

    difference_ms: Estimate
    ratio: Estimate
    paired: bool
    verdict: str
    why: str


def difference(a: Sequence[NDArray], b: Sequence[NDArray], paired: bool) -> Difference:
    """Compare two measurements.

    Args:
        a: blocks of samples, milliseconds.
        b: the same for the other network; as many blocks as `a` if they are paired.
        paired: whether block i of `a` and block i of `b` were measured next to each other.
    """
    medians = [np.array([np.median(block) for block in blocks]) for blocks in (a, b)]
    drawn_a, drawn_b = _resampled_medians(medians[0], medians[1], paired)
    whole = [float(np.median(values)) for values in medians]
    differences = Estimate(whole[1] - whole[0], *_bounds(drawn_b - drawn_a))
    ratio = Estimate(whole[1] / whole[0], *_bounds(drawn_b / drawn_a))
    verdict, why = _verdict(ratio, paired)
    return Difference(differences, ratio, paired, verdict, why)


def _resampled_medians(a: NDArray, b: NDArray, paired: bool) -> tuple[NDArray, NDArray]:
    """Resample each network's block medians `RESAMPLES` times; return the median of each draw."""
    random = np.random.default_rng(0)
    first = random.integers(0, a.size, (RESAMPLES, a.size))
    second = first if paired else random.integers(0, b.size, (RESAMPLES, b.size))
    return np.median(a[first], axis=1), np.median(b[second], axis=1)


def _bounds(values: NDArray) -> tuple[float, float]:
    outside = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(values, [outside, 100 - outside])
    return float(low), float(high)


def _verdict(ratio: Estimate, paired: bool) -> tuple[str, str]:
    if ratio.low <= 1 <= ratio.high:
        return "no difference", "the interval of the difference includes zero"
    word = "faster" if ratio.value < 1 else "slower"
    if paired:
        return word, "measured in turns, and the interval of the difference does not include zero"
    if ratio.high < 1 / (1 + RUN_TO_RUN) or ratio.low > 1 + RUN_TO_RUN:
        return (
            word,
            f"the difference exceeds the {RUN_TO_RUN:.0%} that separate runs of one network may differ by",
        )
    return (
        "cannot tell",
        f"separate runs of one network may differ by {RUN_TO_RUN:.0%}; compare the bundles themselves, in turns",
    )
