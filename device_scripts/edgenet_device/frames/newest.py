"""Gives a camera's newest frame: a thread reads every frame, so that none grows old in a queue.

The frames of a file do wait: they are read one after another, each when it is taken.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Callable

import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.frames.frame import Frame

SILENCE_SECONDS = 1.0
"""Seconds without a frame before we report it, and between reports."""
CLOSING_SECONDS = 7.0
"""Seconds that a source may take to close."""


@dataclass(frozen=True)
class CapturedFrame:
    """A frame that `take` returned.

    Attributes:
        name: the frame's name.
        pixels: uint8 BGR [H,W,3]; valid until the next frame is taken.
        small: the same picture, scaled down by the camera for the network; None where the camera cannot do
            that.
        captured_ns: when the source delivered the frame, by `time.perf_counter_ns`.
        missed: number of frames that came after the previously taken one and were never taken.
    """

    name: str
    pixels: np.ndarray
    small: np.ndarray | None
    captured_ns: int
    missed: int


class _Buffer:
    """Memory for one frame, reused for later frames of the same size."""

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
    """Reads frames in its own thread and keeps the newest; use it as a context manager.

    Three buffers rotate: the thread writes into the first, the second holds the newest complete frame, and
    the third holds the frame taken last. So neither side waits while the other copies or reads a frame.

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
        # libcamera aborts the process if the camera is left open, so wait for the thread to close it; a
        # blocked read of a CSI camera gives up after five seconds. Other drivers may never return from a
        # read: then the thread, which is a daemon, ends with the process.
        self._thread.join(timeout=CLOSING_SECONDS)

    def take(self) -> CapturedFrame | None:
        """Wait for a frame newer than the one taken last and return it; None when the source has ended.

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
            return CapturedFrame(self._name, whole.pixels, whole.small, self._captured_ns, missed)

    def _is_ready(self) -> bool:
        """Wait up to SILENCE_SECONDS; return whether there is a new frame, or none will ever come."""
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
        # Copied, because the source writes its next frame into the same memory.
        self._buffers[self._writing].fill(frame)
        with self._changed:
            self._writing, self._whole = self._whole, self._writing
            self._name, self._captured_ns = frame.name, captured_ns
            self._count += 1
            self._changed.notify_all()


class EveryFrame:
    """Gives every frame of photos or a video, with the same interface as `NewestFrame`.

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

    def take(self) -> CapturedFrame | None:
        """Return the next frame; None after the last one.

        Raises:
            EdgenetError: the source failed.
        """
        frame = next(self._frames, None)
        return None if frame is None else CapturedFrame(*frame, time.perf_counter_ns(), 0)
