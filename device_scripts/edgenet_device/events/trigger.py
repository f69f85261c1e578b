"""Triggers: LABEL[:SECONDS], which choose the events that a command, a pin, a snapshot or a clip acts on."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.errors import EdgenetError
from edgenet_device.events.watcher import Happening
from edgenet_device.foreign_text import LONGEST_LABEL, one_line

ANY_LABEL = "*"
"""The trigger for every label that enters."""
_LONGEST_HOLD = 86_400.0
_SHOWN = 3


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
    seconds = _seconds(digits) if colon else None
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


def _seconds(digits: str) -> float | None:
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
