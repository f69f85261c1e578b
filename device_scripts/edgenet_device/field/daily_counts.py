"""Counts by day what the live camera knows of what it sees, in one small file that outlives releases and reboots.

The counts belong to a model and a threshold: another model begins anew, and finds its own first days again after a
rollback. A power cut loses at most SAVE_S. Days without a true clock are not counted.

Has what the camera sees changed since the first days? A day is one observation: the frames of one day are far too much
alike to count as so many. The first days and the last days, at most 7 of each, are compared by Welch's interval for the
difference of two means. Its level is 99.9 %, because it is computed anew every day: docs/on-the-device.md says how
often chance alone then shows a change.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import CLOCK_SET_FROM
from edgenet_device.events.hub import Tell
from edgenet_device.foreign_text import json_text, read_json
from edgenet_device.output_files import write_atomically

SCHEMA = "edgenet.drift.v1"
FILE_NAME = "drift.json"
SAVE_S = 300.0
"""Seconds between two writes of the file: a power cut loses at most so many."""
KEPT_DAYS = 60
"""The last days that are kept, beside the first MOST_DAYS."""
SHOWN_DAYS = 14
MOST_SERIES = 4
LARGEST = 1 << 18
_CLOSING_S = 10.0
"""A disk that hangs delays the camera's end no longer than this."""
PART = "the counts by day"
_WHAT = "the share of unknown and the mean confidence by day"
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


Series = dict[str, dict[str, Day]]
"""The days by date, by the model and threshold that they belong to; the one used last comes last."""


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


class DailyCounts:
    """Takes the live camera's states, one a second, and saves their counts in a thread of its own.

    Use it as a context manager.

    Args:
        path: the file.
        key: the model's SHA-256 and the threshold, in one text.
        tell: called when the file cannot be written, and when it can again.
        clock: the wall clock's time, seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        key: str,
        tell: Tell,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path, self._key, self._tell, self._clock = path, key, tell, clock
        self._second = -1
        self._changing = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=PART, daemon=True)
        self._failed = False
        self._series = self._found()
        self._days = self._series.pop(key, {})
        self._series[key] = self._days
        self._summary = self._summed_up()

    def __enter__(self) -> DailyCounts:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()
        self._thread.join(_CLOSING_S)

    def show(self, state: dict[str, Any], pixels: object) -> None:
        """Count a frame's state, at most one a second."""
        second = int(state.get("monotonic_s", 0.0))
        if state["type"] != "frame" or second == self._second:
            return
        self._second = second
        now = self._clock()
        if now < CLOCK_SET_FROM:
            return
        date = time.strftime("%Y-%m-%d", time.localtime(now))
        unknown = state["label"] is None
        scores = [one["score"] for one in state["top"] if one["label"] != NOTHING_KNOWN]
        with self._changing:
            day = self._days.get(date) or Day(date, 0, 0, 0.0)
            self._days[date] = replace(
                day,
                samples=day.samples + 1,
                unknown=day.unknown + unknown,
                confidence=day.confidence + (scores[0] if scores else 0.0),
            )

    def summary(self) -> dict[str, Any]:
        """Return the last days and the comparison with the first, in JSON's types; it is as old as the last save."""
        return self._summary

    def _run(self) -> None:
        while not self._stop.wait(SAVE_S):
            self._save()
        self._save()

    def _save(self) -> None:
        with self._changing:
            for date in sorted(self._days)[MOST_DAYS:-KEPT_DAYS]:
                del self._days[date]
            self._summary = self._summed_up()
            kept = dict(list(self._series.items())[-MOST_SERIES:])
            told = {
                "schema": SCHEMA,
                "series": [
                    {
                        "of": key,
                        "days": [
                            [day.date, day.samples, day.unknown, round(day.confidence, 3)]
                            for day in days.values()
                        ],
                    }
                    for key, days in kept.items()
                ],
            }
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json_text(told).encode(), private=True)
        except (OSError, EdgenetError) as error:
            if not self._failed:
                self._failed = True
                self._tell(PART, f"they cannot be saved: {_reason(error)}")
        else:
            if self._failed:
                self._failed = False
                self._tell(PART, None)

    def _summed_up(self) -> dict[str, Any]:
        days = [self._days[date] for date in sorted(self._days)]
        today = time.strftime("%Y-%m-%d", time.localtime(self._clock()))
        drift = drift_of(days, today)
        first = [day for day in days if day.samples][:1]
        shown = [*first, *[day for day in days if day not in first][-SHOWN_DAYS:]]
        return {
            "changed": None if drift is None else drift.sentence(),
            "compared_days": 0 if drift is None else drift.days,
            "days": [
                {
                    "date": day.date,
                    "seconds": day.samples,
                    "unknown": round(day.unknown_share, 4),
                    "confidence": round(day.mean_confidence, 4),
                }
                for day in shown
            ],
        }

    def _found(self) -> Series:
        """Return what the file holds. A file that cannot be read is set aside, and counting begins anew."""
        try:
            with open(self._path, "rb") as file:
                return read_series(file.read(LARGEST + 1))
        except FileNotFoundError:
            return {}
        except (OSError, EdgenetError) as error:
            self._tell(PART, f"{_reason(error)}: {_WHAT} begin anew")
            with suppress(OSError):
                self._path.replace(self._path.with_name(f"{FILE_NAME}.unreadable"))
            return {}


def _reason(error: OSError | EdgenetError) -> str:
    return str(error) if isinstance(error, EdgenetError) else f"{error.filename}: {error.strerror}"


def read_series(data: bytes) -> Series:
    """Return the counts that the file's bytes hold.

    Raises:
        EdgenetError: they are damaged.
    """
    try:
        found = read_json(data, LARGEST)
        if found["schema"] != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        series: Series = {}
        for one in found["series"]:
            days = [_day(*entries) for entries in one["days"]]
            series[str(one["of"])] = {day.date: day for day in days}
        return series
    except (ValueError, TypeError, KeyError) as error:
        raise EdgenetError(f"{FILE_NAME} is damaged ({str(error)[:200]})") from None


def _day(date: Any, samples: Any, unknown: Any, confidence: Any) -> Day:
    if type(date) is not str or type(samples) is not int or type(unknown) is not int:
        raise ValueError("an entry is no day with its counts")
    time.strptime(date, "%Y-%m-%d")
    if not 0 <= unknown <= samples or samples == 0 or not 0 <= float(confidence) <= samples + 1e-6:
        raise ValueError("a day's counts are impossible")
    return Day(date, samples, unknown, float(confidence))
