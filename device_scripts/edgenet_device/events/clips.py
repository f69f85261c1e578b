"""The sink --clips: the seconds before and after an event as a film, within a disk budget.

The seconds before are there already when the event comes: they are kept as JPEGs in memory, within a bound.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.events.avi import avi_of
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.events.kept_files import KeptFiles
from edgenet_device.events.trigger import Trigger
from edgenet_device.events.watcher import Happening

RATE = 10.0
"""The most pictures per second in a clip."""
QUALITY = 80
MOST_BYTES = 32_000_000
"""The most bytes of pictures in memory: the seconds before, or a whole clip."""


class ClipSink(Sink):
    """Writes a clip for every event that a trigger waits for; an event during a clip makes no clip of its own.

    Args:
        triggers: what is kept.
        files: where to.
        before_s: seconds before the event.
        after_s: seconds after it.
    """

    capacity = 8
    attempts = 1
    frames_per_second = RATE

    def __init__(
        self, triggers: Sequence[Trigger], files: KeptFiles, before_s: float, after_s: float
    ) -> None:
        self.name = "the clips"
        self._triggers, self._files = tuple(triggers), files
        self._before_s, self._after_s = before_s, after_s
        self._pictures: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._size = (0, 0)
        self._event: Event | None = None
        self._until_s = 0.0
        self._came = time.monotonic()

    def takes(self, happening: Happening) -> bool:
        """Return whether a trigger fires."""
        return any(trigger.fires(happening) for trigger in self._triggers)

    def take_frame(self, pixels: np.ndarray, moment_s: float) -> None:
        """Keep a frame; write the clip if this frame is its last.

        Raises:
            EdgenetError: the clip cannot be written; it is given up.
        """
        size = pixels.shape[1], pixels.shape[0]
        encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        if not encoded:
            raise EdgenetError("OpenCV cannot encode the frame")
        again = bool(self._pictures) and moment_s < self._pictures[-1][0]  # the film begins anew
        if size != self._size or again:
            self._finish()
            self._forget()
        self._size, self._came = size, time.monotonic()
        self._pictures.append((moment_s, data.tobytes()))
        self._bytes += len(data)
        if self._event is None:
            self._forget_before(moment_s - self._before_s)
        elif moment_s >= self._until_s or self._bytes > MOST_BYTES:
            self._finish()
        while self._bytes > MOST_BYTES:
            self._forget_first()

    def deliver(self, event: Event, picture: Picture) -> None:
        """Begin a clip, unless one is being made."""
        if self._event is None and self._pictures:
            self._event = event
            self._until_s = self._pictures[-1][0] + self._after_s

    def work(self) -> float | None:
        """Write a clip whose frames come no more, because the camera is lost."""
        if self._event is None:
            return None
        left = self._came + self._after_s + 1.0 - time.monotonic()
        if left > 0:
            return left
        self._finish()
        return None

    def close(self) -> None:
        """Write what there is of a clip."""
        self._finish()

    def _finish(self) -> None:
        event, self._event = self._event, None
        if event is None:
            return
        first, last = self._pictures[0][0], self._pictures[-1][0]
        count = len(self._pictures)
        rate = (count - 1) / (last - first) if last > first else RATE
        clip = avi_of([data for _, data in self._pictures], self._size, min(max(rate, 0.1), 240.0))
        self._forget_before(last - self._before_s)
        self._files.write(event, clip)

    def _forget_before(self, moment_s: float) -> None:
        while self._pictures and self._pictures[0][0] < moment_s:
            self._forget_first()

    def _forget_first(self) -> None:
        self._bytes -= len(self._pictures.popleft()[1])

    def _forget(self) -> None:
        self._pictures.clear()
        self._bytes = 0
