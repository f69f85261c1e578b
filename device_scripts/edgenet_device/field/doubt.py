"""When is a network unsure? Two pure rules: how much a frame's scores leave open, and when to try to keep a photo."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgenet_device.classifier import NOTHING_KNOWN

CLOSE = 0.2
"""The best two classes are close if their scores differ by less than this (margin sampling, Scheffer et al. 2001)."""
UNSURE_S = 1.0
"""A photo is due only after every frame was unsure for so long: while the averaged scores go from one class to the
next, both are close for a moment, although no single frame is unsure."""
TRY_S = 2.0
"""Least seconds between two frames that are handed on as candidates."""
UNKNOWN, CLOSE_TOGETHER = "unknown", "close"


@dataclass(frozen=True)
class Doubt:
    """What a frame's scores leave open.

    Attributes:
        reason: UNKNOWN (nothing that the network knows) or CLOSE_TOGETHER (the best two classes are close).
        amount: 0 to 1; 1 is as unsure as a network can be.
    """

    reason: str
    amount: float


def doubt_of(state: dict[str, Any]) -> Doubt | None:
    """Return the doubt about a frame; None if the network was sure.

    Args:
        state: the frame's `FrameResult.as_dict`.
    """
    scores = [one["score"] for one in state["top"] if one["label"] != NOTHING_KNOWN]
    best = scores[0] if scores else 0.0
    if state["label"] is None:
        return Doubt(UNKNOWN, _share(1 - best))
    margin = best - scores[1] if len(scores) > 1 else math.inf
    return Doubt(CLOSE_TOGETHER, _share(1 - margin)) if margin < CLOSE else None


def _share(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 4)


class DoubtWatcher:
    """Decides which frames are candidates for a photo. It is pure: it reads no clock.

    Attributes:
        now_s: time that has passed on the frames' clock, seconds; of a film, that is the film's own time.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._moment: float | None = None
        self._since: float | None = None
        self._tried = -math.inf

    def frame(self, moment_s: float, doubt: Doubt | None) -> bool:
        """Take the doubt about a frame and return whether the frame is a candidate.

        Args:
            moment_s: the frame's moment. One before the last counts as the last: a film may begin again.
        """
        if self._moment is not None:
            self.now_s += max(moment_s - self._moment, 0.0)
        self._moment = moment_s
        if doubt is None:
            self._since = None
            return False
        if self._since is None:
            self._since = self.now_s
        if self.now_s - self._since < UNSURE_S or self.now_s - self._tried < TRY_S:
            return False
        self._tried = self.now_s
        return True
