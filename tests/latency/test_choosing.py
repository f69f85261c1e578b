"""Which candidates are trained, when training stops, and what one more point takes."""

from __future__ import annotations

import pytest

from edgenet.latency.comparing import (
    Candidate,
    cost_of_one_more_point,
    most_promising_first,
    reason_to_stop,
    train_promising,
)


def candidate(name: str, mega: float, ms: float, fits: bool = True) -> Candidate:
    return Candidate(name, int(mega * 1e6), int(mega * 10_000), ms, True, (), fits)


A, B, C, D = (candidate(name, mega, mega / 10) for name, mega in (("a", 5), ("b", 10), ("c", 20), ("d", 40)))
E, F = candidate("e", 80, 8, fits=False), candidate("f", 800, 80, fits=False)
ALL = [A, B, C, D, E, F]


def test_the_most_mult_adds_that_fit_come_first() -> None:
    assert [one.name for one in most_promising_first(ALL)] == ["d", "c", "b", "a"]
    slow, fast = candidate("slow", 10, 3), candidate("fast", 10, 2)
    assert [one.name for one in most_promising_first([slow, fast])] == ["fast", "slow"]


def test_two_in_a_row_that_were_no_better() -> None:
    assert reason_to_stop(ALL, [], D) is None
    assert reason_to_stop(ALL, [(D, 60.0), (C, 55.0)], B) is None
    assert (
        reason_to_stop(ALL, [(D, 60.0), (C, 55.0), (B, 58.0)], A)
        == "2 networks in a row were no better than d"
    )
    assert reason_to_stop(ALL, [(D, 60.0), (C, 61.0), (B, 58.0)], A) is None


def test_training_goes_on_until_the_rule_says_stop() -> None:
    top1 = {"d": 60.0, "c": 61.0, "b": 58.0, "a": 61.0}
    trained, stopped = train_promising(ALL, lambda one: top1[one.name])
    assert [(one.name, found) for one, found in trained] == [("d", 60), ("c", 61), ("b", 58), ("a", 61)]
    assert stopped == "all candidates that fit were trained"
    trained, stopped = train_promising(ALL, lambda one: {"d": 62.0}.get(one.name, 50.0))
    assert ([one.name for one, _ in trained], stopped) == (
        ["d", "c", "b"],
        "2 networks in a row were no better than d",
    )


def test_no_more_than_a_third_of_a_sweep_s_training() -> None:
    few = [A, B, C, D]
    assert reason_to_stop(few, [], D) is None  # one is trained whatever it takes
    assert (
        reason_to_stop(few, [(D, 60.0)], C)
        == "training c too would exceed a third of the training of all candidates"
    )


def test_one_more_point_by_the_slope_of_those_trained() -> None:
    """Two points for each doubling: one point is a factor of 1.41, from 40 M to 56.6 M; e has 80 M."""
    words = cost_of_one_more_point(ALL, {"d": 62.0, "c": 60.0, "b": 58.0}, D, 5.0)
    assert "about 56.6 M mult-adds (2.00 points for each doubling" in words
    assert "e has that many, at 8.00 ms (+3.00 ms from the budget) and 0.80 MB" in words
    steep = cost_of_one_more_point(ALL, {"d": 60.1, "c": 60.0}, D, 5.0)
    assert "more than any candidate has" in steep


@pytest.mark.parametrize("trained", [{"d": 60.0}, {"d": 58.0, "c": 60.0}])
def test_one_more_point_when_the_slope_is_not_known(trained: dict[str, float]) -> None:
    words = cost_of_one_more_point(ALL, trained, D, 5.0)
    assert words.startswith("one more point: the next larger candidate, e, takes 8.00 ms")
    assert "do not show how much accuracy it would add" in words
    assert "no larger candidate was measured" in cost_of_one_more_point([A, D], {"d": 60.0}, D, 5.0)
