"""Keeps photos of what the live camera is unsure of, and those that a person corrects. Frames never wait for it."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.collecting.collector import QUALITY, difference_hash, measuring_grey, usable_label
from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import CLOCK_SET_FROM, time_text
from edgenet_device.events.hub import Tell
from edgenet_device.field.kept_photos import KeptPhotos
from edgenet_device.field.photo_facts import MARKED, MOST_SCORES, PhotoFacts
from edgenet_device.foreign_text import LONGEST_LABEL, one_line
from edgenet_device.frames.photos import read_photo

PART = "the kept photos"
_WAITING = 2
"""The most frames that wait for the thread."""
_CLOSING_S = 5.0
CLOSE = 0.2
"""The best two classes are close if their scores differ by less than this (margin sampling, Scheffer et al. 2001)."""
UNSURE_S = 1.0
"""A photo is due only after every frame was unsure for so long: while the averaged scores go from one class to the
next, both are close for a moment, although no single frame is unsure."""
TRY_S = 2.0
"""Least seconds between two frames that are handed on as candidates."""
UNKNOWN, CLOSE_TOGETHER = "unknown", "close"


class PhotoKeeper:
    """Takes the live camera's states, and keeps photos in a thread of its own; use it as a context manager.

    Args:
        photos: where they are kept.
        model: the model's file and its SHA-256.
        labels: the model's labels.
        tell: called when photos cannot be kept, and when they can again.

    Attributes:
        labels: the model's labels.
    """

    def __init__(
        self, photos: KeptPhotos, model: tuple[Path, str], labels: Sequence[str], tell: Tell
    ) -> None:
        self.labels = tuple(labels)
        self._photos, self._tell = photos, tell
        self._model, self._sha256 = one_line(model[0].name), model[1]
        self._device = one_line(socket.gethostname())
        self._watcher = DoubtWatcher()
        self._waiting: deque[tuple[np.ndarray, dict[str, Any], Doubt, float]] = deque()
        self._changed = threading.Condition()
        self._finishing = False
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name=PART, daemon=True)

    def __enter__(self) -> PhotoKeeper:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        with self._changed:
            self._finishing = True
            self._changed.notify()
        self._thread.join(_CLOSING_S)

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Take a state, and the frame's pixels, uint8 BGR [H,W,3], if there is a frame. It never waits for the disk."""
        if state["type"] != "frame" or pixels is None:
            return
        doubt = doubt_of(state)
        if self._watcher.frame(state["moment_s"], doubt) and doubt is not None:
            # Copied, because the camera writes a later frame into the same memory.
            with self._changed:
                if len(self._waiting) == _WAITING:
                    self._waiting.pop()  # the first and the newest differ more than two in a row
                self._waiting.append((pixels.copy(), state, doubt, self._watcher.now_s))
                self._changed.notify()

    def keep_marked(self, jpeg: bytes, state: dict[str, Any], said: str) -> None:
        """Keep a photo that a person corrects; whoever calls waits until it is on the disk.

        Args:
            jpeg: the photo.
            state: the frame's state.
            said: the class that it shows, as the person says.

        Raises:
            EdgenetError: what was said is no name of a class, or the photo cannot be written.
        """
        label = usable_label(said)
        doubt = doubt_of(state)
        looks = difference_hash(measuring_grey(read_photo(jpeg)))
        facts = self._facts(state, MARKED, 1.0 if doubt is None else doubt.amount, looks, label)
        self._photos.keep(jpeg, facts, self._watcher.now_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._finishing)
                if not self._waiting:
                    return
                candidate = self._waiting.popleft()
            try:
                kept = self._keep(*candidate)
            except Exception as error:  # whatever it is: the camera goes on
                self._report(_reason(error))
            else:
                if kept:
                    self._report(None)

    def _keep(self, pixels: np.ndarray, state: dict[str, Any], doubt: Doubt, now_s: float) -> bool:
        """Keep a candidate, unless it is too much like others; return whether it was kept."""
        looks = difference_hash(measuring_grey(pixels))
        if not self._photos.is_new(_number(looks), now_s):
            return False
        encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not encoded:
            raise EdgenetError("OpenCV cannot encode the frame")
        self._photos.keep(data.tobytes(), self._facts(state, doubt.reason, doubt.amount, looks, None), now_s)
        return True

    def _facts(
        self, state: dict[str, Any], reason: str, doubt: float, looks: np.ndarray, said: str | None
    ) -> PhotoFacts:
        now = time.time()
        label = state["label"]
        return PhotoFacts(
            reason=reason,
            doubt=doubt,
            label=None if label is None else one_line(label, LONGEST_LABEL),
            top=tuple(
                (one_line(one["label"], LONGEST_LABEL), min(max(float(one["score"]), 0.0), 1.0))
                for one in state["top"][:MOST_SCORES]
            ),
            said=said,
            time=time_text(now),
            clock_set=now >= CLOCK_SET_FROM,
            looks=f"{_number(looks):016x}",
            device=self._device,
            model=self._model,
            model_sha256=self._sha256,
        )

    def _report(self, reason: str | None) -> None:
        if reason != self._trouble:
            self._trouble = reason
            self._tell(PART, reason)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if isinstance(error, EdgenetError) else f"{type(error).__name__}: {error}"


def _number(looks: np.ndarray) -> int:
    """Return a difference hash as one number."""
    return int("".join("1" if bit else "0" for bit in looks), 2)


@dataclass(frozen=True)
class Doubt:
    """How unsure the network is of a frame: what the scores leave open.

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
