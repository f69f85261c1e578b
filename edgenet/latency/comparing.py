"""Networks compared by their latency: whether one is faster than another, and which one is best within a budget.

Samples of one block are correlated (same clock, same temperature, same other programs), so `difference` resamples
whole blocks instead of single runs: the block bootstrap (Künsch, The Jackknife and the Bootstrap for General
Stationary Observations, 1989) with percentile intervals (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 13). Blocks that were measured in turns are drawn in pairs, which cancels any drift
that both networks share.

Latency and size do not depend on the weights, so they are known before any training. Accuracy grows with
mult-adds (arXiv 1704.04861, figure 4: by nearly the same step for each doubling), so the most promising
candidate for a budget is the one with the most mult-adds within it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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


PATIENCE = 2
"""Training stops after this many networks in a row that were no better than the best before them ..."""
TRAINING_SHARE = 1 / 3
"""... or before the trained networks' mult-adds would exceed this share of the sum over all candidates.

A sweep would train all candidates.
"""


@dataclass(frozen=True)
class Candidate:
    """A network whose latency was measured before training.

    Attributes:
        mult_adds: multiply-adds for one photo.
        bytes: size of the int8 file.
        p50_ms: median latency of one inference on the target, milliseconds.
        valid: whether the latency may be quoted; if not, `reasons` says why.
        fits: whether the network is within the budget.
    """

    name: str
    mult_adds: int
    bytes: int
    p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    fits: bool


def most_promising_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates that fit, the most mult-adds first, and the faster first among equals."""
    fitting = [candidate for candidate in candidates if candidate.fits]
    return sorted(fitting, key=lambda candidate: (-candidate.mult_adds, candidate.p50_ms))


def train_promising(
    candidates: Sequence[Candidate], train: Callable[[Candidate], float]
) -> tuple[list[tuple[Candidate, float]], str]:
    """Train the candidates that fit, the most promising first, until `reason_to_stop` gives a reason.

    Args:
        candidates: all candidates, including those that exceed the budget.
        train: trains a candidate and returns its int8 top-1, percent.

    Returns:
        the trained candidates with their top-1, in order of training; and why training stopped.
    """
    trained: list[tuple[Candidate, float]] = []
    for candidate in most_promising_first(candidates):
        why = reason_to_stop(candidates, trained, candidate)
        if why:
            return trained, why
        trained.append((candidate, train(candidate)))
    return trained, "all candidates that fit were trained"


def reason_to_stop(
    candidates: Sequence[Candidate], trained: Sequence[tuple[Candidate, float]], following: Candidate
) -> str | None:
    """Return the reason not to train the next candidate; None if it should be trained.

    Args:
        candidates: all candidates, including those that exceed the budget.
        trained: the trained candidates with their int8 top-1, percent, in order of training.
        following: the next candidate.
    """
    if not trained:
        return None
    best = max(range(len(trained)), key=lambda i: trained[i][1])
    if len(trained) - 1 - best >= PATIENCE:
        return f"{PATIENCE} networks in a row were no better than {trained[best][0].name}"
    spent = sum(candidate.mult_adds for candidate, _ in trained) + following.mult_adds
    if spent > TRAINING_SHARE * sum(candidate.mult_adds for candidate in candidates):
        return f"training {following.name} too would exceed a third of the training of all candidates"
    return None


def cost_of_one_more_point(
    candidates: Sequence[Candidate], trained: Mapping[str, float], best: Candidate, budget_ms: float
) -> str:
    """Describe what one more point of top-1 than the best would cost, estimated from the trained candidates.

    Args:
        candidates: all candidates, including those that exceed the budget.
        trained: int8 top-1, percent, of the trained candidates, by name.
        best: the best trained candidate.
        budget_ms: the latency budget, milliseconds.
    """
    beyond = sorted((one for one in candidates if not one.fits), key=lambda one: one.p50_ms)
    larger = [one for one in beyond if one.mult_adds > best.mult_adds]
    if not larger:
        return "one more point: no larger candidate was measured; give more widths or resolutions, or train longer"
    step = _points_per_doubling(
        [(one.mult_adds, trained[one.name]) for one in candidates if one.name in trained]
    )
    if step is None or step <= 0:
        nearest = larger[0]
        return (
            f"one more point: the next larger candidate, {nearest.name}, takes {nearest.p50_ms:.2f} ms and "
            f"{nearest.bytes / 1e6:.2f} MB; the trained networks do not show how much accuracy it would add"
        )
    needed = best.mult_adds * 2 ** (1 / step)
    enough = [one for one in larger if one.mult_adds >= needed]
    estimate = (
        f"about {needed / 1e6:.1f} M mult-adds ({step:.2f} points for each doubling among those trained)"
    )
    if not enough:
        return f"one more point: {estimate}, more than any candidate has"
    nearest = enough[0]
    return (
        f"one more point: {estimate}; {nearest.name} has that many, at {nearest.p50_ms:.2f} ms "
        f"({nearest.p50_ms - budget_ms:+.2f} ms from the budget) and {nearest.bytes / 1e6:.2f} MB"
    )


def _points_per_doubling(points: Sequence[tuple[int, float]]) -> float | None:
    """Return the least-squares slope of top-1 over log2(mult-adds); None without two different sizes."""
    if len({mult_adds for mult_adds, _ in points}) < 2:
        return None
    logs = [math.log2(mult_adds) for mult_adds, _ in points]
    middle, level = sum(logs) / len(logs), sum(top1 for _, top1 in points) / len(points)
    above = sum((x - middle) * (top1 - level) for x, (_, top1) in zip(logs, points, strict=True))
    return above / sum((x - middle) ** 2 for x in logs)
