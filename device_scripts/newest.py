"""A camera's newest frame: a thread takes every frame, so that none waits in a queue and is old when it is shown.

A file's frames wait for whoever takes them, one after another.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable

import numpy as np

from .errors import EdgenetError
from .frame import Frame

SILENCE_SECONDS = 1.0
"""How long nothing may come before that is told, and told again."""


CLOSING_SECONDS = 7.0
"""How long a source may take to close."""


@dataclass(frozen=True)
class Taken:
    """A frame for whoever asked for the newest.

    Attributes:
        pixels: uint8 BGR [H,W,3]; valid until the next one is taken.
        small: the same made smaller by the camera, for the network; None where the camera does not do that.
        captured_ns: when the camera gave it, by `time.perf_counter_ns`.
        missed: frames that came since the one taken before and were not seen.
    """

    name: str
    pixels: np.ndarray
    small: np.ndarray | None
    captured_ns: int
    missed: int


class _Buffer:
    """One frame's own memory, used again for the next of the same size."""

    def __init__(self) -> None:
        self.pixels: np.ndarray = np.empty((0, 0, 3), np.uint8)
        self.small: np.ndarray | None = None

    def fill(self, frame: Frame) -> None:
        self.pixels = _copied(frame.pixels, self.pixels)
        self.small = None if frame.small is None else _copied(frame.small, self.small)


def _copied(pixels: np.ndarray, into: np.ndarray | None) -> np.ndarray:
    if into is None or into.shape != pixels.shape:
        return pixels.copy()
    np.copyto(into, pixels)
    return into


class NewestFrame:
    """Reads frames in a thread of its own and keeps the last; use it as a context manager.

    Three buffers go round: one is being written, one is whole, one is with whoever took it. Nobody waits for a copy.

    Args:
        frames: from `read_frames`, or `lasting_frames` around it; closed by the thread.
        silent: called while `take` waits, every `SILENCE_SECONDS`, with the seconds since it began to wait.
    """

    def __init__(
        self, frames: Iterator[Frame], silent: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._frames = frames
        self._silent = silent
        self._changed = threading.Condition()
        self._buffers = [_Buffer() for _ in range(3)]
        self._writing, self._whole, self._reading = 0, 1, 2
        self._name, self._captured_ns = "", 0
        self._count = self._seen = 0
        self._error: EdgenetError | None = None
        self._ended = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)

    def __enter__(self) -> NewestFrame:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopping = True
        # libcamera ends the process with an abort if it is left open; it gives up a read after five seconds. Other
        # drivers may never return from one: the thread is a daemon and goes with the process.
        self._thread.join(timeout=CLOSING_SECONDS)

    def take(self) -> Taken | None:
        """The newest frame that was not taken yet; waits for one, and gives None when the source has ended.

        Raises:
            EdgenetError: the source failed.
        """
        began = time.monotonic()
        while not self._is_ready():
            self._silent(time.monotonic() - began)
        with self._changed:
            if self._count == self._seen:
                if self._error is not None:
                    raise self._error
                return None
            self._reading, self._whole = self._whole, self._reading
            missed, self._seen = self._count - self._seen - 1, self._count
            whole = self._buffers[self._reading]
            return Taken(self._name, whole.pixels, whole.small, self._captured_ns, missed)

    def _is_ready(self) -> bool:
        """Whether there is a new frame, or no more will come; waits a little for either."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._count != self._seen or self._ended, timeout=SILENCE_SECONDS
            )

    def _run(self) -> None:
        try:
            for frame in self._frames:
                if self._stopping:
                    break
                self._keep(frame)
        except EdgenetError as error:
            self._error = error
        finally:
            with suppress(AttributeError):
                self._frames.close()  # type: ignore[attr-defined]
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _keep(self, frame: Frame) -> None:
        captured_ns = time.perf_counter_ns()
        # The source writes its next frame into the same memory.
        self._buffers[self._writing].fill(frame)
        with self._changed:
            self._writing, self._whole = self._whole, self._writing
            self._name, self._captured_ns = frame.name, captured_ns
            self._count += 1
            self._changed.notify_all()


class EveryFrame:
    """The frames of photos or a video, each of them; taken as `NewestFrame`'s are.

    Args:
        frames: from `read_frames`; closed on leaving the block.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames

    def __enter__(self) -> EveryFrame:
        return self

    def __exit__(self, *reason: object) -> None:
        with suppress(AttributeError):
            self._frames.close()  # type: ignore[attr-defined]

    def take(self) -> Taken | None:
        """The next frame; None after the last.

        Raises:
            EdgenetError: the source failed.
        """
        frame = next(self._frames, None)
        return None if frame is None else Taken(*frame, time.perf_counter_ns(), 0)
