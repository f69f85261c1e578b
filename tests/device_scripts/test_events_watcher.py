"""When something happens: the state machine by its rules, and by properties of random sequences of answers."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from edgenet_device.errors import EdgenetError
from edgenet_device.events.watcher import ANY_LABEL, EventWatcher, Happening, HoldTimes, Trigger, read_trigger

LABELS = ("cat", "dog", "great tit")


def seen(
    watcher: EventWatcher, answers: str, start: float = 0.0, step: float = 0.1
) -> list[tuple[str, float]]:
    """Give a watcher one letter a frame ("c" is cat, "." nothing); return (kind and label, moment) of what happened."""
    names = {"c": "cat", "d": "dog", ".": None}
    told = []
    for number, letter in enumerate(answers):
        moment = round(start + number * step, 6)
        label = names[letter]
        happened = watcher.frame(moment, label, None if label is None else 0.9)
        told += [(f"{one.kind} {one.label or ''}".strip(), moment) for one in happened]
    return told


def test_a_label_enters_after_the_hold_and_leaves_after_the_release() -> None:
    watcher = EventWatcher(HoldTimes(hold_s=0.3, release_s=0.5))
    assert seen(watcher, "c" * 10 + "." * 10) == [("entered cat", 0.3), ("left cat", 1.5), ("unknown", 1.5)]


def test_a_flicker_in_either_direction_says_nothing() -> None:
    watcher = EventWatcher(HoldTimes(hold_s=0.3, release_s=0.5))
    assert seen(watcher, "c.c.cc..cc.") == []
    assert seen(watcher, "cccc" + "....c" * 5, 2.0) == [("entered cat", 2.3)]


def test_another_label_enters_after_the_first_has_left() -> None:
    watcher = EventWatcher(HoldTimes(hold_s=0.2, release_s=0.5))
    assert seen(watcher, "cccddddddddd") == [("entered cat", 0.2), ("left cat", 0.8), ("entered dog", 0.8)]


def test_with_no_times_every_frame_counts() -> None:
    watcher = EventWatcher(HoldTimes(0, 0))
    assert [kind for kind, _ in seen(watcher, "c.d")] == [
        "entered cat", "left cat", "unknown", "entered dog",
    ]  # fmt: skip


def test_held_is_told_once_for_each_time_asked_for_and_left_says_how_long() -> None:
    watcher = EventWatcher(HoldTimes(0.2, 0.2, held=(("cat", 1.0), ("cat", 0.5), ("dog", 0.5))))
    assert seen(watcher, "c" * 20) == [("entered cat", 0.2), ("held cat", 0.5), ("held cat", 1.0)]
    assert watcher.frame(2.5, None, None) == []
    [left, *_] = watcher.frame(3.0, None, None)
    assert left == Happening("left", "cat", seconds=pytest.approx(1.9))
    assert seen(watcher, "c" * 7, 4.0)[-1] == ("held cat", 4.5)


def test_nothing_known_is_told_once_until_a_label_enters() -> None:
    watcher = EventWatcher(HoldTimes(0.2, 0.2))
    assert seen(watcher, "....c....c...") == [("unknown", 0.2)]
    assert [kind for kind, _ in seen(watcher, "cccc......", 2.0)] == ["entered cat", "left cat", "unknown"]


def test_a_lost_camera_and_its_return() -> None:
    watcher = EventWatcher(HoldTimes(0.2, 0.8))
    seen(watcher, "ccccc")
    assert watcher.no_frame(1.4, None, 1.0) == []
    assert watcher.no_frame(2.4, "unplugged", 2.0) == [
        Happening("camera_lost", detail="unplugged"),
        Happening("left", "cat", seconds=pytest.approx(0.4)),
    ]
    assert watcher.no_frame(3.4, "still unplugged", 3.0) == []
    assert watcher.frame(5.4, "cat", 0.9) == [Happening("camera_back", seconds=pytest.approx(3.0))]
    assert seen(watcher, "ccc", 5.5) == [
        ("entered cat", 5.6)
    ]  # held anew: what was before the gap does not count


def test_a_camera_without_a_reason_is_lost_after_five_seconds() -> None:
    watcher = EventWatcher(HoldTimes())
    told = [watcher.no_frame(float(second), None, float(second)) for second in range(1, 8)]
    assert [len(one) for one in told] == [0, 0, 0, 0, 1, 0, 0]


def test_throttling_is_told_when_its_reasons_change() -> None:
    watcher = EventWatcher(HoldTimes())
    assert watcher.throttling(0.0, ()) == []
    assert watcher.throttling(1.0, ("under-voltage",)) == [Happening("throttled", detail="under-voltage")]
    assert watcher.throttling(2.0, ("under-voltage",)) == []
    assert watcher.throttling(3.0, ("under-voltage", "throttled"))[0].detail == "under-voltage, throttled"
    assert watcher.throttling(4.0, ()) == [Happening("unthrottled", seconds=pytest.approx(3.0))]


def random_run(seed: int) -> tuple[HoldTimes, list[tuple[float, str | None]], list[tuple[int, Happening]]]:
    """Return the times, answers that flicker at random, and what happened with the number of the answer."""
    chance = random.Random(seed)
    times = HoldTimes(
        chance.choice((0, 0.1, 0.5)), chance.choice((0, 0.3, 1.0)), tuple((label, 0.7) for label in LABELS)
    )
    watcher, moment, label = EventWatcher(times), 100.0 * chance.random(), None
    answers, happened = [], []
    for _ in range(300):
        moment += chance.choice((0.0, 0.03, 0.2))
        if chance.random() < 0.3:
            label = chance.choice((None, *LABELS))
        answers.append((moment, label))
        happened += [(len(answers) - 1, one) for one in watcher.frame(moment, label, 0.5)]
    return times, answers, happened


@pytest.mark.parametrize("seed", range(200))
def test_what_holds_for_any_answers(seed: int) -> None:
    times, answers, happened = random_run(seed)
    present: str | None = None
    for number, one in happened:
        moment = answers[number][0]
        until_now = answers[: number + 1]
        if one.kind == "entered":
            assert present is None
            present = one.label
            recent = {label for at, label in until_now if at > moment - times.hold_s + 1e-6}
            assert recent <= {one.label}
            assert answers[number][1] == one.label
        elif one.kind == "left":
            assert one.label == present
            present = None
            gone = [label for at, label in until_now if at > moment - times.release_s + 1e-6]
            assert one.label not in gone
        elif one.kind == "held":
            assert (one.label, one.seconds) == (present, 0.7)
        else:
            assert one.kind == "unknown"
            assert present is None
    entered = [answers[number][0] for number, one in happened if one.kind == "entered"]
    assert all(b - a >= times.release_s - 1e-6 for a, b in pairwise(entered))


def test_a_film_that_begins_again_does_not_go_back_in_time() -> None:
    watcher = EventWatcher(HoldTimes(0.3, 0.5))
    assert seen(watcher, "ccc", 100.0) == []
    assert seen(watcher, "ccc", 0.0) == [("entered cat", 0.1)]  # three steps of 0.1 s in all


@pytest.mark.parametrize(
    ("text", "trigger"),
    [
        ("cat", Trigger("cat")),
        ("cat:5", Trigger("cat", 5)),
        ("great tit:0.5", Trigger("great tit", 0.5)),
        ("a:b", Trigger("a:b")),
        ("a:b:2", Trigger("a:b", 2)),
        ("a:7", Trigger("a:7")),
        ("*", Trigger(ANY_LABEL)),
        ("nothing I know", Trigger("nothing I know")),
    ],
)
def test_a_trigger_is_read(text: str, trigger: Trigger) -> None:
    assert read_trigger("--on-label", text, (*LABELS, "a:b", "a:7")) == trigger


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cta", "the model has no label 'cta'; the nearest: 'cat'"),
        ("Cat", "the nearest: 'cat'"),
        ("grate tit:5", "the nearest: 'great tit'"),
        ("", "its 3 labels begin with 'cat', 'dog'"),
        ("cat:soon", "'soon' is not a number of seconds"),
        ("cat:-1", "'-1' is not a number"),
        ("cat:nan", "'nan' is not a number"),
        ("*:5", "only a label of the model can have seconds"),
    ],
)
def test_a_label_that_the_model_does_not_have_is_told_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(EdgenetError, match="--on-label") as caught:
        read_trigger("--on-label", text, LABELS)
    assert message in str(caught.value)


def test_what_fires_a_trigger() -> None:
    entered, held = Happening("entered", "cat", 0.9), Happening("held", "cat", 0.9, 5.0)
    assert Trigger("cat").fires(entered)
    assert Trigger(ANY_LABEL).fires(entered)
    assert not Trigger("dog").fires(entered)
    assert not Trigger("cat").fires(held)
    assert Trigger("cat", 5.0).fires(held)
    assert not Trigger("cat", 4.0).fires(held)
    assert Trigger("nothing I know").fires(Happening("unknown"))
    assert not Trigger(ANY_LABEL).fires(Happening("unknown"))
