"""When something happens: turns the answers for frames into happenings. It is pure: no clock, no file, no thread.

Two times keep a happening from chattering where an answer flickers, as a relay's contacts would: a label has entered
after it was the answer of every frame for the hold time, and has left after it was no frame's answer for the release
time. At most one label is present at a time.

A trigger, LABEL[:SECONDS], chooses the happenings that a command, a pin, a snapshot or a clip acts on.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import LONGEST_LABEL, one_line
from edgenet_device.model_file import NOTHING_KNOWN

KINDS = ("entered", "held", "left", "unknown", "camera_lost", "camera_back", "throttled", "unthrottled")
LOST_SECONDS = 5.0
"""A camera that gives neither a frame nor an error counts as lost after this many seconds."""
ANY_LABEL = "*"
"""The trigger for every label that enters."""
_LONGEST_HOLD = 86_400.0
_SHOWN = 3


@dataclass(frozen=True)
class Happening:
    """What happened.

    Attributes:
        kind: one of KINDS.
        label: the label that entered, is held or left; else None.
        score: its smoothed score, 0..1; None where the label is None or is not seen any more.
        seconds: for how long: the label present (held, left), the camera lost (camera_back), the device throttled
            (unthrottled); else None.
        detail: why the camera is lost, or what throttles the device; else None.
    """

    kind: str
    label: str | None = None
    score: float | None = None
    seconds: float | None = None
    detail: str | None = None


@dataclass(frozen=True)
class HoldTimes:
    """When labels enter and leave.

    Attributes:
        hold_s: seconds for which a label, or nothing known, must be every frame's answer.
        release_s: seconds for which a present label must be no frame's answer before it has left.
        held: (label, seconds): tell once when this label has been present for so long.
    """

    hold_s: float = 0.5
    release_s: float = 1.0
    held: tuple[tuple[str, float], ...] = ()


class EventWatcher:
    """Turns answers into happenings. Every method takes the moment in seconds, on one clock that all of them share.

    A moment before the last one counts as the last one: a film may begin again.

    Args:
        times: when labels enter and leave.
    """

    def __init__(self, times: HoldTimes) -> None:
        # All times within are whole nanoseconds: sums of floats would miss a hold time by a rounding error.
        self._hold, self._release = _nanoseconds(times.hold_s), _nanoseconds(times.release_s)
        self._held: dict[str, list[float]] = {}
        for label, seconds in sorted(set(times.held), key=lambda one: one[1]):
            self._held.setdefault(label, []).append(seconds)
        self._now = 0
        self._moment: int | None = None
        self._answer: str | None = None
        self._answer_since: int | None = None
        self._present: str | None = None
        self._present_since = self._seen = 0
        self._gone_since: int | None = None
        self._due: list[float] = []
        self._unknown = False
        self._lost_since: int | None = None
        self._throttled_since: int | None = None
        self._reasons: tuple[str, ...] = ()

    @property
    def present(self) -> str | None:
        """The label that is present now; None if there is none."""
        return self._present

    def frame(self, moment_s: float, label: str | None, score: float | None) -> list[Happening]:
        """Take the answer for a frame; a label of None means that nothing is known. Return what happened."""
        now = self._advance(moment_s)
        happened = list(self._camera_back(now))
        if self._answer_since is None or label != self._answer:
            self._answer, self._answer_since = label, now
        if label is not None and label == self._present:
            self._seen, self._gone_since = now, None
        else:
            happened += self._left(now)
        if self._present is None and now - self._answer_since >= self._hold:
            happened += self._changed(label, score)
        if label is not None and label == self._present:
            happened += self._held_for(now, score)
        return happened

    def no_frame(self, moment_s: float, lost: str | None, silent_s: float) -> list[Happening]:
        """Take that no frame comes. Return what happened.

        Args:
            lost: why the camera fails; None if it gave no reason.
            silent_s: seconds since the last frame.
        """
        now = self._advance(moment_s)
        happened = []
        if self._lost_since is None and (lost is not None or silent_s >= LOST_SECONDS):
            self._lost_since = now
            happened.append(Happening("camera_lost", detail=lost or "no frame comes"))
        # What an answer lasted before the gap says nothing about the time after it.
        self._answer_since = None
        return happened + self._left(now)

    def throttling(self, moment_s: float, reasons: Iterable[str]) -> list[Happening]:
        """Take what throttles the device now, such as "under-voltage". Return what happened."""
        now, reasons = self._advance(moment_s), tuple(reasons)
        if reasons == self._reasons:
            return []
        self._reasons = reasons
        if reasons:
            if self._throttled_since is None:
                self._throttled_since = now
            return [Happening("throttled", detail=", ".join(reasons))]
        since, self._throttled_since = self._throttled_since, None
        return [Happening("unthrottled", seconds=_seconds(now - (now if since is None else since)))]

    def _advance(self, moment_s: float) -> int:
        moment = _nanoseconds(moment_s)
        if self._moment is not None:
            self._now += max(moment - self._moment, 0)
        self._moment = moment
        return self._now

    def _camera_back(self, now: int) -> Iterable[Happening]:
        if self._lost_since is not None:
            yield Happening("camera_back", seconds=_seconds(now - self._lost_since))
            self._lost_since = None

    def _left(self, now: int) -> list[Happening]:
        """Return that the present label left, if it has been absent for long enough."""
        if self._present is None:
            return []
        if self._gone_since is None:
            self._gone_since = now
        if now - self._gone_since < self._release:
            return []
        label, self._present = self._present, None
        return [Happening("left", label, seconds=_seconds(self._seen - self._present_since))]

    def _changed(self, label: str | None, score: float | None) -> list[Happening]:
        """Return that a label entered, or that nothing is known, which is told once until a label enters."""
        if label is None:
            told, self._unknown = self._unknown, True
            return [] if told else [Happening("unknown")]
        self._present, self._unknown = label, False
        self._present_since = self._answer_since or 0
        self._seen, self._gone_since = self._now, None
        self._due = list(self._held.get(label, ()))
        return [Happening("entered", label, score)]

    def _held_for(self, now: int, score: float | None) -> list[Happening]:
        happened = []
        while self._due and now - self._present_since >= _nanoseconds(self._due[0]):
            happened.append(Happening("held", self._present, score, self._due.pop(0)))
        return happened


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9


@dataclass(frozen=True)
class Trigger:
    """A label that enters, or that has been present for some seconds.

    Attributes:
        label: the label; ANY_LABEL for every one, NOTHING_KNOWN for the event "unknown".
        seconds: how long it must be present; 0 for its entering.
    """

    label: str
    seconds: float = 0.0

    def fires(self, happening: Happening) -> bool:
        """Return whether an event is the one that this trigger waits for."""
        if self.label == NOTHING_KNOWN and happening.kind == "unknown":
            return True
        if happening.label is None or self.label not in (ANY_LABEL, happening.label):
            return False
        if self.seconds:
            return happening.kind == "held" and happening.seconds == self.seconds
        return happening.kind == "entered"


def read_trigger(option: str, text: str, labels: Sequence[str]) -> Trigger:
    """Return the trigger that LABEL[:SECONDS] means for a model with these labels.

    Raises:
        EdgenetError: the model has no such label (the message names the nearest), or the seconds are none.
    """
    known = {*labels, NOTHING_KNOWN, ANY_LABEL}
    if text in known:  # labels with a colon in them exist
        return Trigger(text)
    label, colon, digits = text.rpartition(":")
    seconds = _read_seconds(digits) if colon else None
    if colon and seconds is None and label in known:
        raise EdgenetError(
            f"{option} {text}: {one_line(digits, 40)!r} is not a number of seconds", "give LABEL:SECONDS"
        )
    if seconds is None:
        label = text
    if label not in known:
        raise EdgenetError(
            f"{option} {text}: the model has no label '{one_line(label, LONGEST_LABEL)}'",
            _nearest(label, labels),
        )
    if seconds and label in (NOTHING_KNOWN, ANY_LABEL):
        raise EdgenetError(f"{option} {text}: only a label of the model can have seconds", "leave them out")
    return Trigger(label, seconds or 0.0)


def _read_seconds(digits: str) -> float | None:
    try:
        seconds = float(digits)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= _LONGEST_HOLD else None


def _nearest(label: str, labels: Sequence[str]) -> str:
    by_lower = {one.lower(): one for one in labels}
    near = difflib.get_close_matches(label.lower()[:LONGEST_LABEL], by_lower, _SHOWN, 0.4)
    if not near:
        return f"its {len(labels)} labels begin with {', '.join(map(repr, labels[:_SHOWN]))}"
    return f"the nearest: {', '.join(repr(one_line(by_lower[one], LONGEST_LABEL)) for one in near)}"
