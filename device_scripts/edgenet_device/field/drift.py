"""Has what the camera sees changed since the first days? A comparison of daily figures, with an interval. It is pure.

A day is one observation: the frames of one day are far too much alike to count as so many. The first days and the last
days, at most 7 of each, are compared by Welch's interval for the difference of two means. Its level is 99.9 %, because
it is computed anew every day: docs/on-the-device.md says how often chance alone then shows a change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_DAYS = 7
"""The first and the last days that are compared: a week, because weekends often differ."""
LEAST_SAMPLES = 600
"""A day with fewer samples, which are taken once a second, says too little to count."""
_LEAST_SD = 0.01
"""Days differ by at least one percentage point: a few days that agree to the digit are no proof of more."""
_T_9995 = (636.62, 31.60, 12.92, 8.61, 6.87, 5.96, 5.41, 5.04, 4.78, 4.59, 4.44, 4.32)
"""Student's t distribution's 99.95 % quantile for 1, 2, ... 12 degrees of freedom, the most that 7 and 7 days give."""


@dataclass(frozen=True)
class Day:
    """The figures of one day.

    Attributes:
        date: the day by the device's clock, such as "2026-11-30".
        samples: seconds in which a frame was counted.
        unknown: how many of them showed nothing that the network knows.
        confidence: sum of the best class's score in each, 0 to 1.
    """

    date: str
    samples: int
    unknown: int
    confidence: float

    @property
    def unknown_share(self) -> float:
        """The share of unknown, 0 to 1."""
        return self.unknown / self.samples

    @property
    def mean_confidence(self) -> float:
        """The mean confidence, 0 to 1."""
        return self.confidence / self.samples


@dataclass(frozen=True)
class Change:
    """How a daily figure has changed, in percentage points.

    Attributes:
        first: mean of the first days, percent.
        last: mean of the last days, percent.
        low, high: the change's interval at the level 99.9 %.
    """

    first: float
    last: float
    low: float
    high: float

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval excludes no change."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Drift:
    """The change since the first days.

    Attributes:
        days: how many of the first, and how many of the last, days are compared.
        unknown: change of the share of unknown.
        confidence: change of the mean confidence.
    """

    days: int
    unknown: Change
    confidence: Change

    def sentence(self) -> str | None:
        """Return one sentence if something has changed beyond chance, else None."""
        parts = [
            f"{name} {'rose' if one.last > one.first else 'fell'} from {one.first:.0f} to {one.last:.0f} % "
            f"(99.9 % interval of the change: {one.low:+.0f} to {one.high:+.0f} points)"
            for name, one in (
                ("the share of unknown", self.unknown),
                ("the mean confidence", self.confidence),
            )
            if one.beyond_chance
        ]
        if not parts:
            return None
        return (
            f"since the first {self.days} days, {' and '.join(parts)}: look at what the camera sees now, collect "
            "photos of it and train again"
        )


def drift_of(days: Sequence[Day], today: str) -> Drift | None:
    """Compare the first days with the last; None if there are fewer than two of each.

    Args:
        days: the days of one model, by date; those with fewer than LEAST_SAMPLES do not count.
        today: the present date, which does not count either: a morning is not a day.
    """
    whole = [day for day in days if day.samples >= LEAST_SAMPLES and day.date != today]
    count = min(len(whole) // 2, MOST_DAYS)
    if count < 2:
        return None
    first, last = whole[:count], whole[-count:]
    return Drift(
        count,
        _change([day.unknown_share for day in first], [day.unknown_share for day in last]),
        _change([day.mean_confidence for day in first], [day.mean_confidence for day in last]),
    )


def _change(first: Sequence[float], last: Sequence[float]) -> Change:
    """Return the change between two groups of equally many days (Welch 1947, with whole degrees of freedom)."""
    n = len(first)
    means = [math.fsum(group) / n for group in (first, last)]
    squares = [
        max(math.fsum((value - mean) ** 2 for value in group) / (n - 1), _LEAST_SD**2)
        for group, mean in zip((first, last), means)
    ]
    freedom = (n - 1) * sum(squares) ** 2 / math.fsum(square**2 for square in squares)
    wide = _T_9995[int(freedom) - 1] * math.sqrt(sum(squares) / n)
    change = means[1] - means[0]
    return Change(100 * means[0], 100 * means[1], 100 * (change - wide), 100 * (change + wide))
