"""The replay of `select` on a sweep's table reports missed goals."""

from __future__ import annotations

from pathlib import Path

from benchmarks.selecting import read, replay
from edgenet.latency.comparing import Candidate

TABLE = Path(__file__).resolve().parents[2] / "docs" / "cifar-sweep.csv"


def test_the_sweep_of_cifar() -> None:
    candidates, top1 = read(TABLE)
    choices = replay(candidates, top1)
    assert len(choices) == len(candidates) == 16
    assert [one.fitting for one in choices] == list(range(1, 17))
    assert sum(one.missed for one in choices) <= 1
    assert all(one.share <= 1 / 3 for one in choices)


def test_a_missed_goal_is_reported() -> None:
    sizes = {"small": 1, "middle": 50, "large": 100}
    candidates = [Candidate(name, size, size, float(size), True, (), False) for name, size in sizes.items()]
    last = replay(candidates, {"small": 40.0, "middle": 62.0, "large": 60.0})[-1]
    assert (last.chosen, last.trained, last.gap) == ("large", 1, 2.0)
    assert last.missed
    assert "exceed a third" in last.stopped
