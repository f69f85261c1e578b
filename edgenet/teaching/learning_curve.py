"""The learning curve: the accuracy with growing parts of the photos, and what twice as many photos would give.

Heads are fitted to growing parts of the features and judged on photos of other groups. The part grows scene by scene,
as a person's set does. The error is continued as a power of the number of photos (Hestness et al. 2017, "Deep learning
scaling is predictable, empirically", arXiv 1712.00409), which over one doubling is a factor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy import Interval, grouped_interval
from edgenet.data.splits import grouped_folds
from edgenet.teaching.head import fit_head

FOLDS = 5
SHARES = (0.125, 0.25, 0.5, 1.0)
MOST_PHOTOS = 2000
"""Of more photos, this many take part, in whole groups: the curve should take seconds."""
ENOUGH_GROUPS = 20
"""With fewer groups, nothing is said about twice as many photos."""
_DRAWS = 400
_REPEATS = 2
_HALF = 0.5
"""No error counts as less than that of half a photo, since nothing is ever sure."""
_WIDER = 1.4
"""The bootstrap knows that other photos could have been judged, but not that other photos could have been trained with,
so its interval is made wider by this factor. On parts of hand signs, CIFAR-10 and superclasses of ImageNet, 8 to 80
photos per class, 38 of 41 such intervals held the accuracy that twice as many photos did give."""


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy with some of the photos.

    Attributes:
        photos: photos per class that the heads were fitted to, the mean over the classes.
        accuracy: share of the other photos that are right, percent.
        interval: its 95 % interval, which counts groups.
    """

    photos: float
    accuracy: float
    interval: Interval


@dataclass(frozen=True)
class LearningCurve:
    """The accuracy for each number of photos.

    Attributes:
        points: fewest photos first.
        doubled: the point that is expected with twice as many photos as the set has; None if that cannot be said.
    """

    points: tuple[CurvePoint, ...]
    doubled: CurvePoint | None


def learning_curve(
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: int,
    strength: float,
    seed: int = 0,
) -> LearningCurve:
    """Measure the accuracy with growing parts of the photos.

    Args:
        values: the features, float32 [n, views, channels].
        labels: the class index of each photo, int64 [n].
        groups: the group of each photo, int64 [n].
        classes: the number of classes.
        strength: the strength of the head's penalty.
        seed: chooses the folds and the parts.
    """
    random = np.random.default_rng(seed)
    whole = len(labels) / max(len(np.unique(labels)), 1)
    rows = _few_enough(groups, random)
    values, labels, groups = values[rows], labels[rows], groups[rows]
    folds = grouped_folds(labels, groups, FOLDS, seed)
    if len(np.unique(folds[folds >= 0])) < 2:
        return LearningCurve((), None)
    right, photos = _judge(values, labels, groups, folds, classes, strength, random)
    judged = folds >= 0
    right, groups = [hits[:, judged] for hits in right], groups[judged]
    points = tuple(
        CurvePoint(count, 100 * float(hits.mean()), _mean_interval(hits, groups))
        for count, hits in zip(photos, right, strict=True)
    )
    used = [place for place in range(len(points)) if place == 0 or photos[place] > 1.3 * photos[place - 1]]
    points = tuple(points[place] for place in used)
    return LearningCurve(points, _doubled(points, [right[i] for i in used], groups, 2 * whole, random))


def _few_enough(groups: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.int64]:
    if len(groups) <= MOST_PHOTOS:
        return np.arange(len(groups))
    names, sizes = np.unique(groups, return_counts=True)
    order = random.permutation(len(names))
    chosen = order[np.cumsum(sizes[order]) <= MOST_PHOTOS]
    return np.flatnonzero(np.isin(groups, names[chosen]))


def _judge(
    values: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    folds: NDArray[np.int64],
    classes: int,
    strength: float,
    random: np.random.Generator,
) -> tuple[list[NDArray[np.bool_]], list[float]]:
    """Return for each share whether each photo is right [repeats, n], and the mean number of photos per class."""
    right = [np.zeros((1 if share == 1.0 else _REPEATS, len(labels)), bool) for share in SHARES]
    counts: list[list[float]] = [[] for _ in SHARES]
    present = len(np.unique(labels))
    for fold in np.unique(folds[folds >= 0]):
        out = np.flatnonzero(folds == fold)
        for repeat in range(_REPEATS):
            order = _in_whole_groups(np.flatnonzero(folds != fold), groups, random)
            for place, share in enumerate(SHARES):
                if repeat >= len(right[place]):
                    continue
                part = _share_of_each_class(order, labels, share)
                head = fit_head(values[part], labels[part], classes, strength)
                right[place][repeat, out] = head.logits(values[out, 0]).argmax(axis=1) == labels[out]
                counts[place].append(len(part) / present)
    return right, [float(np.mean(one)) for one in counts]


def _in_whole_groups(
    rows: NDArray[np.int64], groups: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return the rows in random order of their groups; the photos of one group stay together."""
    names, place = np.unique(groups[rows], return_inverse=True)
    return rows[np.argsort(random.permutation(len(names))[place], kind="stable")]


def _share_of_each_class(
    order: NDArray[np.int64], labels: NDArray[np.int64], share: float
) -> NDArray[np.int64]:
    """Return the first photos of each class, at least one."""
    classes = (order[labels[order] == label] for label in np.unique(labels[order]))
    return np.concatenate([own[: max(1, round(share * len(own)))] for own in classes])


def _mean_interval(hits: NDArray[np.bool_], groups: NDArray[np.int64]) -> Interval:
    intervals = [grouped_interval(row, groups) for row in hits]
    return Interval(
        float(np.mean([one.low for one in intervals])), float(np.mean([one.high for one in intervals]))
    )


def _doubled(
    points: tuple[CurvePoint, ...],
    right: list[NDArray[np.bool_]],
    groups: NDArray[np.int64],
    photos: float,
    random: np.random.Generator,
) -> CurvePoint | None:
    """Continue the curve to `photos` per class; the interval comes from drawing the groups anew (bootstrap)."""
    names, place = np.unique(groups, return_inverse=True)
    if len(names) < ENOUGH_GROUPS or len(right) < 3:
        return None
    wrong = np.stack([1 - hits.mean(axis=0) for hits in right])
    sums = np.stack([np.bincount(place, row, len(names)) for row in wrong])
    sizes = np.bincount(place, minlength=len(names))
    draws = random.multinomial(len(names), np.full(len(names), 1 / len(names)), _DRAWS)
    errors = (draws @ sums.T) / (draws @ sizes)[:, None]
    doublings = float(np.log2(photos / points[-1].photos))
    expected = float(_later_error(wrong.mean(axis=1)[None], len(groups), doublings)[0])
    low, high = np.quantile(_later_error(errors, len(groups), doublings), (0.025, 0.975))
    low = max(expected - _WIDER * max(expected - low, 0.0), 0.0)
    # However few errors there were, one and a half of as many scenes may be wrong.
    high = min(max(expected + _WIDER * max(high - expected, 0.0), 1.5 / len(names)), 1.0)
    return CurvePoint(photos, 100 * (1 - expected), Interval(100 * (1 - high), 100 * (1 - low)))


def _later_error(errors: NDArray[np.float64], n: int, doublings: float) -> NDArray[np.float64]:
    """Return the error [draws] after some doublings of the photos, from the errors at each share [draws, points].

    The factor of one doubling is the geometric mean of the last one and of all, and never above 1.
    """
    errors = np.maximum(errors, _HALF / n)
    steps = errors.shape[1] - 1
    every = np.minimum((errors[:, -1] / errors[:, 0]) ** (1 / steps), 1.0)
    last = np.minimum(errors[:, -1] / errors[:, -2], 1.0)
    return errors[:, -1] * np.sqrt(every * last) ** doublings
