"""Choosing a network for a budget: which to train, when to stop, and what one more point would take.

Latency and size do not depend on the weights, so they are known before any training. Accuracy grows with mult-adds
(arXiv 1704.04861, figure 4: nearly by the same step for each doubling), so the most promising candidate is the one that
computes the most within the budget.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

PATIENCE = 2
"""Training stops after as many in a row that were no better than the best before them ..."""
TRAINING_SHARE = 1 / 3
"""... or before the mult-adds of those trained exceed this share of all candidates', which a sweep would train."""


@dataclass(frozen=True)
class Candidate:
    """A network that was measured untrained.

    Attributes:
        mult_adds: for one photo.
        bytes: of the int8 file.
        p50_ms: of one inference on the target.
        valid: whether that may be quoted; `reasons` says why not.
        fits: whether it is within the budget.
    """

    name: str
    mult_adds: int
    bytes: int
    p50_ms: float
    valid: bool
    reasons: tuple[str, ...]
    fits: bool


def by_promise(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that fit, the most mult-adds first; of equal ones the faster."""
    fitting = [candidate for candidate in candidates if candidate.fits]
    return sorted(fitting, key=lambda candidate: (-candidate.mult_adds, candidate.p50_ms))


def train_promising(
    candidates: Sequence[Candidate], train: Callable[[Candidate], float]
) -> tuple[list[tuple[Candidate, float]], str]:
    """Trains those that fit, from the most promising, until the rule says stop.

    Args:
        candidates: all of them, those beyond the budget too.
        train: trains one; returns its int8 top-1, percent.

    Returns:
        those trained, in their order, with their top-1; and why no more were.
    """
    trained: list[tuple[Candidate, float]] = []
    for candidate in by_promise(candidates):
        why = why_stop(candidates, trained, candidate)
        if why:
            return trained, why
        trained.append((candidate, train(candidate)))
    return trained, "all that fit were trained"


def why_stop(
    candidates: Sequence[Candidate], trained: Sequence[tuple[Candidate, float]], following: Candidate
) -> str | None:
    """Why the following one is not trained; None where it is.

    Args:
        candidates: all of them, those beyond the budget too.
        trained: those trained, in their order, with their int8 top-1, percent.
    """
    if not trained:
        return None
    best = max(range(len(trained)), key=lambda i: trained[i][1])
    if len(trained) - 1 - best >= PATIENCE:
        return f"{PATIENCE} in a row were no better than {trained[best][0].name}"
    spent = sum(candidate.mult_adds for candidate, _ in trained) + following.mult_adds
    if spent > TRAINING_SHARE * sum(candidate.mult_adds for candidate in candidates):
        return f"with {following.name} it would be more than a third of the training of all candidates"
    return None


def another_point(
    candidates: Sequence[Candidate], trained: Mapping[str, float], best: Candidate, budget_ms: float
) -> str:
    """What it would take to gain one point of top-1 over the best, estimated from those that were trained."""
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
            f"{nearest.bytes / 1e6:.2f} MB; what it would bring cannot be told from what was trained"
        )
    needed = best.mult_adds * 2 ** (1 / step)
    enough = [one for one in larger if one.mult_adds >= needed]
    estimate = f"about {needed / 1e6:.1f} M mult-adds ({step:.2f} points for each doubling, of those trained)"
    if not enough:
        return f"one more point: {estimate}, more than any candidate has"
    nearest = enough[0]
    return (
        f"one more point: {estimate}; {nearest.name} has them, with {nearest.p50_ms:.2f} ms "
        f"({nearest.p50_ms - budget_ms:+.2f} ms to the budget) and {nearest.bytes / 1e6:.2f} MB"
    )


def _points_per_doubling(points: Sequence[tuple[int, float]]) -> float | None:
    """The slope of top-1 over log2 of mult-adds by least squares; None of fewer than two different networks."""
    if len({mult_adds for mult_adds, _ in points}) < 2:
        return None
    logs = [math.log2(mult_adds) for mult_adds, _ in points]
    middle, level = sum(logs) / len(logs), sum(top1 for _, top1 in points) / len(points)
    above = sum((x - middle) * (top1 - level) for x, (_, top1) in zip(logs, points, strict=True))
    return above / sum((x - middle) ** 2 for x in logs)
