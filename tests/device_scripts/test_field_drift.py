"""The counts by day: what is counted, what survives, and when a change is more than chance."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import CLOCK_SET_FROM
from edgenet_device.field.daily_counts import (
    KEPT_DAYS,
    LEAST_SAMPLES,
    MOST_DAYS,
    MOST_SERIES,
    SCHEMA,
    DailyCounts,
    Day,
    drift_of,
    read_series,
)
from model_files import Run

NOON = CLOCK_SET_FROM - CLOCK_SET_FROM % 86_400 + 10 * 86_400 + 43_200
TODAY = "2099-01-01"


def days_of(shares: list[float], confidence: float = 0.8, samples: int = 10_000) -> list[Day]:
    return [
        Day(f"2026-01-{number:02d}", samples, round(share * samples), confidence * samples)
        for number, share in enumerate(shares, 1)
    ]


def test_the_interval_of_a_change_is_welch_s() -> None:
    """scipy 1.14: ttest_ind(last, first, equal_var=False).confidence_interval(0.999), with t at 4 degrees, not 4.96."""
    drift = drift_of(days_of([0.10, 0.14, 0.12, 0.18, 0.11, 0.13]), TODAY)
    assert drift is not None
    assert drift.days == 3
    change = drift.unknown
    assert (change.first, change.last) == pytest.approx((12.0, 14.0))
    wide = 100 * 12.92 * (0.0004 / 3 + 0.0013 / 3) ** 0.5  # 3.12 degrees of freedom count as 3
    assert (change.low, change.high) == pytest.approx((2.0 - wide, 2.0 + wide))
    assert not change.beyond_chance
    assert drift.sentence() is None


def test_a_change_beyond_chance_is_one_plain_sentence() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(0.05, 0.01, 7), rng.normal(0.3, 0.03, 7)
    drift = drift_of(days_of([*before, *after]), TODAY)
    assert drift is not None
    assert drift.sentence() == (
        "since the first 7 days, the share of unknown rose from 5 to 28 % (99.9 % interval of the change: +16 to +30 "
        "points): look at what the camera sees now, collect photos of it and train again"
    )


def test_chance_alone_seldom_makes_a_sentence() -> None:
    rng, told = np.random.default_rng(1), 0
    for _ in range(400):
        told += drift_of(days_of(list(rng.normal(0.3, 0.05, 14))), TODAY).sentence() is not None  # type: ignore[union-attr]
    assert told <= 4


def test_short_days_and_today_do_not_count() -> None:
    long, short = days_of([0.1] * 4), days_of([0.9] * 4, samples=LEAST_SAMPLES - 1)
    assert drift_of(short, TODAY) is None
    assert drift_of(long[:3], TODAY) is None
    assert drift_of(long, long[-1].date) is None
    drift = drift_of(long, TODAY)
    assert drift is not None
    assert drift.sentence() is None  # four days that agree to the digit prove nothing


class Clock:
    """A wall clock that the test sets."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextmanager
def counting(
    path: Path, clock: Clock, key: str = "model 0.3", told: list[Any] | None = None
) -> Iterator[DailyCounts]:
    notes = [] if told is None else told
    with DailyCounts(path, key, lambda part, why: notes.append(why), clock) as counts:
        yield counts


def frames(
    counts: DailyCounts, count: int, unknown: int = 0, score: float = 0.75, per_second: int = 1
) -> None:
    """Show frames of so many seconds, the first of which show nothing that is known."""
    for number in range(count * per_second):
        label = None if number < unknown * per_second else "cat"
        counts.show(
            {
                "type": "frame",
                "monotonic_s": number / per_second,
                "label": label,
                "top": [{"label": "cat", "score": score}],
            },
            None,
        )
    counts._second = -1


def stored(path: Path) -> dict[str, dict[str, Day]]:
    return read_series(path.read_bytes())


def test_seconds_are_counted_whatever_the_frame_rate_and_survive_a_new_start(tmp_path: Path) -> None:
    path, clock = tmp_path / "state" / "drift.json", Clock(NOON)
    date = time.strftime("%Y-%m-%d", time.localtime(NOON))
    with counting(path, clock) as counts:
        frames(counts, 100, unknown=25, per_second=30)
        counts.show({"type": "silent"}, None)
    with counting(path, clock) as counts:
        frames(counts, 100, per_second=1)
    assert stored(path)["model 0.3"] == {date: Day(date, 200, 25, 150.0)}
    assert path.stat().st_mode & 0o777 == 0o600
    with counting(path, clock) as counts:
        assert counts.summary()["days"] == [
            {"date": date, "seconds": 200, "unknown": 0.125, "confidence": 0.75}
        ]


def test_days_without_a_true_clock_are_not_counted(tmp_path: Path) -> None:
    path, clock = tmp_path / "drift.json", Clock(100.0)
    with counting(path, clock) as counts:
        frames(counts, 50)
        clock.now = NOON
        frames(counts, 10)
    (day,) = stored(path)["model 0.3"].values()
    assert day.samples == 10


def test_another_model_begins_anew_and_finds_its_first_days_again(tmp_path: Path) -> None:
    path, clock = tmp_path / "drift.json", Clock(NOON)
    for key in ("old", "new", "old"):
        with counting(path, clock, key) as counts:
            frames(counts, 10)
        clock.now += 86_400
    assert {key: len(days) for key, days in stored(path).items()} == {"new": 1, "old": 2}
    for number in range(2 * MOST_SERIES):
        with counting(path, clock, f"model {number}") as counts:
            frames(counts, 1)
    assert len(stored(path)) == MOST_SERIES


def test_the_file_stays_small_and_keeps_the_first_days(tmp_path: Path) -> None:
    path, clock = tmp_path / "drift.json", Clock(NOON)
    first = time.strftime("%Y-%m-%d", time.localtime(NOON))
    with counting(path, clock) as counts:
        for _ in range(200):
            frames(counts, 2)
            clock.now += 86_400
    days = list(stored(path)["model 0.3"])
    assert (len(days), days[0]) == (MOST_DAYS + KEPT_DAYS, first)
    assert path.stat().st_size < 4096
    with counting(path, clock) as counts:
        assert counts.summary()["days"][0]["date"] == first


def test_a_damaged_file_is_set_aside_and_a_disk_that_is_full_is_told_once(tmp_path: Path) -> None:
    path, told = tmp_path / "drift.json", []
    path.write_bytes(b'{"schema": "edgenet.drift.v1", "series": [{"of": "m", "days": [[1]]}]}')
    with counting(path, Clock(NOON), told=told) as counts:
        frames(counts, 5)
    assert told[0].startswith("drift.json is damaged")
    assert (tmp_path / "drift.json.unreadable").exists()
    assert len(stored(path)) == 1
    (tmp_path / "file").touch()
    told.clear()
    with counting(tmp_path / "file" / "drift.json", Clock(NOON), told=told) as counts:
        counts._save()
    assert [why.partition(": ")[0] for why in told[1:]] == ["they cannot be saved"]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"schema": "x", "series": []}',
        '{"schema": "SCHEMA", "series": 3}',
        '{"schema": "SCHEMA", "series": [{"of": "m", "days": [["2026-01-01", 5, 6, 1]]}]}',
        '{"schema": "SCHEMA", "series": [{"of": "m", "days": [["2026-13-01", 5, 1, 1]]}]}',
        '{"schema": "SCHEMA", "series": [{"of": "m", "days": [["2026-01-01", 5, 1, "nan"]]}]}',
        '{"schema": "SCHEMA", "series": [{"of": "m", "days": [["2026-01-01", 0, 0, 0]]}]}',
    ],
)
def test_impossible_counts_are_refused(text: str) -> None:
    with pytest.raises(EdgenetError, match="is damaged"):
        read_series(text.replace("SCHEMA", SCHEMA).encode())


def test_a_service_counts_and_tells_it_in_its_state(
    run_copied: Run, tiny_bundle: Path, video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "of-service"))
    done = run_copied("camera.py", tiny_bundle, video, "--state", "state.json")
    assert done.returncode == 0, done.stderr
    ((key, days),) = stored(tmp_path / "of-service" / "drift.json").items()
    assert key.endswith(" 0.3")
    assert sum(day.samples for day in days.values()) >= 1
    state = json.loads((tmp_path / "state.json").read_text())
    assert state["days"]["changed"] is None
