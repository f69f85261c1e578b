"""The hub: hands every event to every sink, each in a thread of its own, so that none waits for another.

The frame's path only appends to bounded queues. A sink that fails is told about once, tried again after growing pauses,
and told about once more when it works again.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Callable, Optional

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.events.watcher import Happening

if TYPE_CHECKING:
    import numpy as np

PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before the first, second, ... new attempt of a sink that failed; the last value applies to all later ones."""
CALM_SECONDS = 60.0
"""A sink whose queue was full counts as well again after so many seconds without a dropped event."""
CLOSING_SECONDS = 12.0
"""Seconds that all sinks together get at the end for what is still in their queues: more than a network's timeout."""

Picture = Optional["np.ndarray"]
Tell = Callable[[str, Optional[str]], None]
"""Receives the name of a sink and what is wrong with it now; None when it works again."""


class Sink:
    """What events go to. A subclass overrides what it needs; all but `takes` and `abort` is called in its own thread.

    Attributes:
        name: what to call it in messages, such as "the log events.csv".
        capacity: how many events may wait for it; when there are more, the oldest are dropped.
        attempts: after how many failed attempts an event is given up; None never gives one up.
        wants_pictures: whether `deliver` needs the frame.
        frames_per_second: how many frames `take_frame` gets at most, also when nothing happens; 0 for none.
    """

    name = "a sink"
    capacity = 1000
    attempts: int | None = None
    wants_pictures = False
    frames_per_second = 0.0

    def takes(self, happening: Happening) -> bool:
        """Return whether the sink acts on such an event; called by the thread of the frames, so it must be quick."""
        return True

    def deliver(self, event: Event, picture: Picture) -> None:
        """Act on one event; any exception means that it must be tried again.

        Args:
            picture: the frame of the event, uint8 BGR [H,W,3]; None where there is none or the sink wants none.
        """
        raise NotImplementedError

    def take_frame(self, pixels: np.ndarray, moment_s: float) -> None:
        """Take a frame, uint8 BGR [H,W,3], and its moment in seconds."""

    def work(self) -> float | None:
        """Do what is left to do, such as sending what is stored; an exception means that it must be tried again.

        Returns:
            seconds until it wants to be called again, unless an event comes earlier; None: after the next event.
        """
        return None

    def close(self) -> None:
        """Release what the sink holds."""

    def abort(self) -> None:
        """End what still runs outside of this process; another thread calls it if the sink does not close in time."""


class EventHub:
    """Hands events to sinks; use it as a context manager.

    Args:
        sinks: the sinks, which the hub closes.
        tell: called when a sink fails and when it works again, from the sink's thread.
    """

    def __init__(self, sinks: Sequence[Sink], tell: Tell) -> None:
        self._lines = [SinkThread(sink, tell) for sink in sinks]
        self._frame_lines = [line for line in self._lines if line.wants_frames]

    def __enter__(self) -> EventHub:
        for line in self._lines:
            line.start()
        return self

    def __exit__(self, *reason: object) -> None:
        for line in self._lines:
            line.finish()
        until = time.monotonic() + CLOSING_SECONDS
        for line in self._lines:
            line.join(max(until - time.monotonic(), 0.0))

    def wants_picture(self, happening: Happening) -> bool:
        """Return whether a sink needs the frame of such an event."""
        return any(line.wants_picture(happening) for line in self._lines)

    def publish(self, event: Event, picture: Picture = None) -> None:
        """Give an event to every sink. It never waits.

        Args:
            picture: the event's frame, uint8 BGR [H,W,3], which nobody changes any more; None if there is none.
        """
        for line in self._lines:
            line.put(event, picture)

    def frame(self, pixels: np.ndarray, moment_s: float) -> None:
        """Give a frame, uint8 BGR [H,W,3], to the sinks that want frames; it is copied for those that are free."""
        for line in self._frame_lines:
            line.put_frame(pixels, moment_s)


class SinkThread:
    """One sink's queue and thread."""

    def __init__(self, sink: Sink, tell: Tell) -> None:
        self._sink = sink
        self._waiting: deque[tuple[Event, Picture]] = deque()
        self._frame: tuple[np.ndarray, float] | None = None
        self._frame_moment = -math.inf
        self._changed = threading.Condition()
        self._finishing = False
        self._dropped_at = -math.inf
        self._troubles = _Troubles(sink.name, tell)
        self._next_work: float | None = 0.0
        self._thread = threading.Thread(target=self._run, name=sink.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wants_picture(self, happening: Happening) -> bool:
        """Return whether the sink needs the frame of such an event."""
        return self._sink.wants_pictures and self._sink.takes(happening)

    def put(self, event: Event, picture: Picture) -> None:
        """Add an event to the queue if the sink takes it; drop the oldest one if the queue is full."""
        if not self._sink.takes(event.happening):
            return
        with self._changed:
            if len(self._waiting) >= self._sink.capacity:
                self._waiting.popleft()
                self._dropped_at = time.monotonic()
            self._waiting.append((event, picture if self._sink.wants_pictures else None))
            self._changed.notify()

    @property
    def wants_frames(self) -> bool:
        """Whether the sink wants frames at all."""
        return self._sink.frames_per_second > 0

    def put_frame(self, pixels: np.ndarray, moment_s: float) -> None:
        """Leave a copy of a frame for the sink, unless one still waits there or the last one was a moment ago."""
        passed = moment_s - self._frame_moment
        # Half a camera's period early is nearer to the rate than half of one late.
        if self._frame is not None or 0 <= passed < 0.9 / self._sink.frames_per_second:
            return
        self._frame_moment = moment_s
        with self._changed:
            self._frame = (pixels.copy(), moment_s)
            self._changed.notify()

    def finish(self) -> None:
        """Let the thread end when its queue is empty. What fails is not tried again."""
        with self._changed:
            self._finishing = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait at most so long for the thread's end. It is a daemon: one that hangs ends with the process."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._sink.abort()

    def _run(self) -> None:
        while True:
            item = self._next()
            frame = self._frame
            if frame is not None:
                self._take_frame(*frame)
            if item is not None:
                self._deliver(*item)
            elif self._finishing:
                break
            self._work()
        try:
            self._sink.close()
        except Exception as error:
            self._troubles.failed("event", error)

    def _next(self) -> tuple[Event, Picture] | None:
        """Wait for an event, a frame, the time at which the sink wants to work, or the end; return the event."""
        with self._changed:
            while not self._waiting and self._frame is None and not self._finishing:
                left = None if self._next_work is None else self._next_work - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            return self._waiting.popleft() if self._waiting else None

    def _take_frame(self, pixels: np.ndarray, moment_s: float) -> None:
        try:
            self._sink.take_frame(pixels, moment_s)
        except Exception as error:
            self._troubles.failed("frame", error)
        else:
            self._troubles.well("frame")
        self._frame = None

    def _deliver(self, event: Event, picture: Picture) -> None:
        failed = 0
        while True:
            try:
                self._sink.deliver(event, picture)
            except Exception as error:  # whatever it is: a sink fails alone
                failed += 1
                self._troubles.failed("event", error)
                if failed == self._sink.attempts or self._pause(_pause_after(failed)):
                    return
                continue
            self._troubles.well("event")
            if time.monotonic() - self._dropped_at > CALM_SECONDS:
                self._troubles.well("pace")
            else:
                self._troubles.failed(
                    "pace", EdgenetError("events come faster than it takes them: the oldest are dropped")
                )
            return

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; return whether the end came first, when there is none."""
        with self._changed:
            return self._changed.wait_for(lambda: self._finishing, seconds)

    def _work(self) -> None:
        if self._troubles.counts["work"] and (self._finishing or time.monotonic() < (self._next_work or 0.0)):
            return  # it failed a moment ago: neither a new event nor the end is a reason to try earlier
        try:
            seconds = self._sink.work()
        except Exception as error:
            self._troubles.failed("work", error)
            seconds = _pause_after(self._troubles.counts["work"])
        else:
            self._troubles.well("work")
        self._next_work = None if seconds is None else time.monotonic() + seconds


def _pause_after(failed: int) -> float:
    return PAUSES[min(failed, len(PAUSES)) - 1]


class _Troubles:
    """What is wrong with a sink: told once for each reason, and once when all of it is over.

    A sink can fail in several ways at once, each of which has a name here.

    Attributes:
        counts: how often each way failed since it last went well.
    """

    def __init__(self, sink: str, tell: Tell) -> None:
        self._sink, self._tell = sink, tell
        self._reasons: dict[str, str] = {}
        self.counts: Counter[str] = Counter()

    def failed(self, way: str, error: Exception) -> None:
        """Count a failure, and tell its reason if that is new."""
        self.counts[way] += 1
        reason = str(error) if isinstance(error, EdgenetError) else f"{type(error).__name__}: {error}"
        if isinstance(error, OSError) and error.strerror:
            reason = error.strerror
        if reason != self._reasons.get(way):
            self._reasons[way] = reason
            self._tell(self._sink, reason)

    def well(self, way: str) -> None:
        """Take that this way works again, and tell it once nothing else fails."""
        del self.counts[way]
        if self._reasons.pop(way, None) is not None and not self._reasons:
            self._tell(self._sink, None)
