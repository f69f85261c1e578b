"""95 % confidence intervals of a percentage, and of the difference of two percentages on the same photos."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z95 = 1.959963984540054
"""The standard normal distribution's 97.5 % quantile."""


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval, in percent of the photos or in percentage points."""

    low: float
    high: float


def wilson(hits: int, n: int) -> Interval:
    """Return the score interval of a proportion, in percent; 0 to 100 for no photos.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike the
    textbook's p ± 1.96 sqrt(p (1 - p) / n), it holds for few photos, and when all or none are right.

    Args:
        hits: number of photos that are right.
        n: number of photos.
    """
    if n == 0:
        return Interval(0.0, 100.0)
    p, z2 = hits / n, Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if hits == 0 else 100 * (middle - half)
    return Interval(low, 100.0 if hits == n else 100 * (middle + half))


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
