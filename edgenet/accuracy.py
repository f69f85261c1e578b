"""The statistics of accuracy: intervals, the comparison of two networks on the same photos, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054
"""The standard normal distribution's 97.5 % quantile."""
Z80 = 0.8416212335729143
"""The standard normal distribution's 80 % quantile."""
MARGIN = 1.0
"""A loss up to this many percentage points counts as no loss. About 500 to 1,300 photos can exclude a larger
loss if int8 changes 1 to 3 % of the answers, as for ImageNet's MobileNets. The margin is close to MLPerf's
rule for int8, 99 % of the float accuracy, which for these networks is 0.7 points. A margin of half a point
would need four times as many photos, more than people usually have."""
SIGNIFICANT = 0.05
SMALL_DROP = 0.5
ENOUGH_TO_PLAN = 30
"""With fewer photos, the share of changed answers is too uncertain to estimate how many would be needed."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in percent of the photos or in percentage points."""

    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """The second network compared with the first.

    Attributes:
        n: number of photos.
        lost: number of photos that only the first network has right.
        won: number of photos that only the second network has right.
        drop: first minus second top-1, percentage points; negative if the second is better.
        interval: 95 % confidence interval of the drop, percentage points.
        p_value: p-value of McNemar's test.
    """

    n: int
    lost: int
    won: int
    drop: float
    interval: Interval
    p_value: float


def compare(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Paired:
    """Compare two networks.

    Args:
        first: whether the first network is right on each photo [n].
        second: whether the second network is right on each of the same photos [n].
    """
    n = len(first)
    both, lost, won = (int(x.sum()) for x in (first & second, first & ~second, ~first & second))
    return Paired(
        n=n,
        lost=lost,
        won=won,
        drop=100 * (lost - won) / max(n, 1),
        interval=difference(both, lost, won, n - both - lost - won),
        p_value=mcnemar(lost, won),
    )


@dataclass(frozen=True)
class ClassLoss:
    """A class in which the second network has fewer right answers than the first.

    Attributes:
        label: the class's name.
        n: number of its photos.
        lost: number of them that only the first network has right.
        won: number of them that only the second network has right.
    """

    label: str
    n: int
    lost: int
    won: int


MOST_CLASSES = 3
LEAST_LOST = 2
"""A class with one lost answer is not named: that is chance."""


def losing_classes(
    first: NDArray[np.bool_], second: NDArray[np.bool_], classes: Sequence[int], names: Sequence[str]
) -> tuple[ClassLoss, ...]:
    """Return the classes in which the second network loses most answers, the worst first, at most MOST_CLASSES.

    Args:
        first, second: whether the networks are right on each photo [n].
        classes: the class index of each photo [n].
        names: the classes' names.
    """
    where = np.asarray(classes)
    found = []
    for index in np.unique(where):
        own = where == index
        lost, won = int((first & ~second)[own].sum()), int((second & ~first)[own].sum())
        if lost - won >= LEAST_LOST:
            found.append(ClassLoss(names[index], int(own.sum()), lost, won))
    return tuple(sorted(found, key=lambda one: one.won - one.lost)[:MOST_CLASSES])


def mcnemar(lost: int, won: int) -> float:
    """Return the exact two-sided p-value: how often chance splits the changed photos at least this unevenly.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages", with the exact binomial distribution instead of its normal approximation. If no photo
    changed, the p-value is 1.
    """
    changed, fewer = lost + won, min(lost, won)
    # in logarithms, because the binomial coefficients of thousands of photos overflow a float
    logs = (
        math.lgamma(changed + 1) - math.lgamma(k + 1) - math.lgamma(changed - k + 1) for k in range(fewer + 1)
    )
    tail = math.fsum(math.exp(log - changed * math.log(2)) for log in logs)
    return min(1.0, 2 * tail)


def difference(both: int, lost: int, won: int, neither: int) -> Interval:
    """Return the interval of the first minus the second proportion on the same photos, in percentage points.

    For no photos it is -100 to 100. Source: Newcombe 1998, "Improved confidence intervals for the difference
    between binomial proportions based on paired data", method 10: the two Wilson intervals, combined by their
    correlation phi.

    Args:
        both: number of photos that both networks have right.
        lost: number of photos that only the first network has right.
        won: number of photos that only the second network has right.
        neither: number of photos that neither network has right.
    """
    n = both + lost + won + neither
    if n == 0:
        return Interval(-100.0, 100.0)
    first, second = wilson(both + lost, n), wilson(both + won, n)
    p, q = 100 * (both + lost) / n, 100 * (both + won) / n
    phi = _correlation(both, lost, won, neither)
    down = _hypotenuse(p - first.low, second.high - q, phi)
    up = _hypotenuse(first.high - p, q - second.low, phi)
    return Interval(p - q - down, p - q + up)


def _hypotenuse(a: float, b: float, phi: float) -> float:
    # with phi = 1 and a = b, rounding may give a value slightly below zero
    return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))


def _correlation(both: int, lost: int, won: int, neither: int) -> float:
    """Return phi with Newcombe's continuity correction; 0 if one network is always right or always wrong."""
    n = both + lost + won + neither
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if margins == 0:
        return 0.0
    product = both * neither - lost * won
    corrected = max(product - n / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(margins)


def wilson(hits: int, n: int) -> Interval:
    """Return the score interval of a proportion, in percent; 0 to 100 for no photos.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike the
    textbook's p ± 1.96 sqrt(p (1 - p) / n), it holds for few photos, and when all or none are right.

    Args:
        hits: number of photos that are right.
        n: number of photos.
    """
    return _score_interval(hits / n, n) if n else Interval(0.0, 100.0)


def _score_interval(p: float, n: float) -> Interval:
    """Return the interval of `wilson` for a share `p` of `n` photos; `n` need not be whole."""
    z2 = Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if p == 0 else 100 * (middle - half)
    return Interval(low, 100.0 if p == 1 else 100 * (middle + half))


def grouped_interval(
    right: NDArray[np.bool_], groups: NDArray[np.int64], trained_share: float = 1.0
) -> Interval:
    """Return the interval of the share of photos that are right, counting groups of photos instead of photos.

    The photos of a group (a burst, one scene) are mostly right or wrong together, so thirty frames of one video tell
    little more than one photo. The interval is Wilson's score interval for the effective number of photos
    (sum m)^2 / sum m^2, where m are the sizes of the groups. Source: Kish 1965, "Survey sampling", section 5.4: the
    largest design effect of clusters, with a correlation of 1 within each. If all groups have equal sizes, it is the
    number of groups; if every photo is a group of its own, the interval is `wilson`'s. In simulations with correlations
    from 0.3 to 0.95 and 4 to 200 groups of 1 to 30 photos it held the true share in 93 to 100 % of the draws, except
    for a true share of 98 % and only 8 groups, where it held it in 87 %.

    Cross-validation judges classifiers that learned from fewer scenes than the final one, which is therefore better.
    The upper end allows for that: errors fall at most with the square root of what was learned from (Cortes et al.
    1993, "Learning curves: asymptotic values and rate of convergence").

    Args:
        right: whether each photo is right [n].
        groups: the group of each photo, any whole numbers [n].
        trained_share: the share of the final classifier's groups that the judged classifiers were trained with, such as
            0.8 in cross-validation with 5 folds; 1 if the final classifier itself was judged.

    Raises:
        ValueError: the lengths differ.
    """
    if len(right) != len(groups):
        raise ValueError(f"{len(right)} photos and {len(groups)} groups")
    if not len(right):
        return Interval(0.0, 100.0)
    found = _score_interval(float(np.mean(right)), effective_photos(groups))
    return Interval(found.low, 100 - (100 - found.high) * math.sqrt(trained_share))


def effective_photos(groups: NDArray[np.int64]) -> float:
    """Return how many independent photos grouped photos are worth at least; see `grouped_interval`.

    Args:
        groups: the group of each photo, any whole numbers [n]; 0 photos are worth 0.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def verdict(paired: Paired, margin: float = MARGIN) -> str:
    """Return the conclusion about the second network, without naming it: the caller puts its name in front.

    The text states a loss or a gain if the p-value of McNemar's test is below 5 %. It rules out a loss larger
    than the margin only if the upper end of the drop's 95 % interval is at most the margin. Otherwise it says
    that nothing can be told.

    Args:
        paired: the comparison with the first network.
        margin: largest loss that counts as no loss, percentage points.
    """
    if paired.n == 0:
        return "cannot tell: there are no photos"
    interval = f"{paired.interval.low:.2f} to {paired.interval.high:.2f} points"
    if paired.p_value < SIGNIFICANT:
        change = "loses" if paired.drop > 0 else "gains"
        return (
            f"{change} {abs(paired.drop):.2f} points of top-1, which chance does not explain "
            f"(95 % interval of the drop: {interval})"
        )
    if paired.interval.high <= margin:
        return (
            f"a loss larger than {margin:g} point{'s' * (margin != 1)} is ruled out by {_photos(paired.n)} "
            f"(95 % interval of the drop: {interval})"
        )
    return (
        f"cannot tell: with {_photos(paired.n)} the drop lies between {paired.interval.low:.2f} and "
        f"{paired.interval.high:.2f} points (95 % interval){_photos_needed(paired)}"
    )


def _photos(n: int) -> str:
    return f"{n:,} photo{'s' * (n != 1)}"


def _photos_needed(paired: Paired) -> str:
    if paired.n < ENOUGH_TO_PLAN:
        return "; so few photos cannot even show how many would be enough"
    needed = photos_to_tell(SMALL_DROP, paired.lost, paired.won, paired.n)
    digits = len(str(needed)) - 2  # round to two significant digits, because it is only an estimate
    return f"; about {round(needed, -digits):,} photos would show a drop of half a point"


def photos_to_tell(drop: float, lost: int, won: int, n: int) -> int:
    """Return how many photos would show a drop with 80 % probability, at the same share of changed answers.

    Source: Connett, Smith and McHugh 1987, "Sample size and power for pair-matched case-control studies":
    (z_0.975 sqrt(s) + z_0.8 sqrt(s - d^2))^2 / d^2, where s is the share of changed answers and d the drop as
    a share. Half a photo is added to each of the four cells to estimate s (Agresti and Min 2005), so that it
    is never zero.

    Args:
        drop: the drop to show, percentage points, above zero.
        lost: number of the `n` photos that only the first network has right.
        won: number of the `n` photos that only the second network has right.
        n: number of photos.
    """
    d = drop / 100
    share = max((lost + won + 1) / (n + 2), d)
    return math.ceil((Z95 * math.sqrt(share) + Z80 * math.sqrt(share - d * d)) ** 2 / d**2)


def on_front(costs: Sequence[float], gains: Sequence[float]) -> tuple[bool, ...]:
    """Return for each of n points whether it is on the Pareto front: no other beats it at both cost and gain.

    A point is on the front unless another point costs no more, gains no less, and is better in one of the
    two. Equal points are all on the front, or all not.

    Args:
        costs: the points' costs [n]; less is better.
        gains: the points' gains [n]; more is better.
    """
    points = list(zip(costs, gains, strict=True))
    return tuple(
        not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points)
        for cost, gain in points
    )
