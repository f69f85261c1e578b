"""The camera as programs see it: its newest frame, and a lost camera is opened again.

A thread reads every frame of a camera, so that none grows old in a queue. The frames of a file do wait: they
are read one after another, each when it is taken.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import numpy as np

from edgenet_device.errors import EdgenetError, WatchedThread, whole_number
from edgenet_device.frames import Frame, Note
from edgenet_device.frames.files import current_name, note_on_stderr, read_frames
from edgenet_device.frames.view import View
from edgenet_device.source_text import is_live, is_stream

SILENCE_SECONDS = 1.0
"""Seconds without a frame before we report it, and between reports."""
HUNG_SECONDS = 60.0
"""A camera counts as hung after this many seconds without a frame, an error or an attempt to reopen it. Every driver
that we use gives up within ten seconds."""
CLOSING_SECONDS = 7.0
"""Seconds that a source may take to close."""
PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds before the first, second, ... attempt to reopen; the last value applies to all later attempts."""
BACK = "the camera is back"
"""The remark for the first frame after a failure."""


class Camera:
    """The frames of a camera, stream, video, folder or photo: `for frame in Camera(0): ...`.

    A camera or stream gives its newest frame: those that came while the last one was used are skipped and
    counted in `frame.missed`. When it fails after it has worked, it is reopened until it works again; a stream is
    waited for from the beginning. A file or folder gives every frame, and then ends.

    It is opened when it is first used. A loop closes it at its end; so does a `with` block, inside which
    several loops may share it. It can then be used again, from the beginning.

    Args:
        source: the number of a camera, "csi" or "csi:1" for a Raspberry Pi's own camera, "/dev/video0", the
            path of a video, photo or folder of photos, or the URL of a stream.
        every_frame: True gives every frame of a camera, too, and raises an error when the camera fails.
        every: use only every n-th frame.
        network: side of the network's input, pixels, for cameras that can also deliver a smaller picture.
        note: called with remarks, such as that the camera failed or is back; None prints them on stderr.
        silent: called every second while no frame comes, with the seconds waited so far.
        view: how the camera is set, and how its pictures are turned and cut.

    Raises:
        TypeError: `source` is neither a number nor text nor a path, or `every` is not a whole number.
        EdgenetError: `source` is a negative number or empty; on first use, if it cannot be opened.
    """

    def __init__(
        self,
        source: int | str | os.PathLike[str] = 0,
        every_frame: bool = False,
        *,
        every: int = 1,
        network: int | None = None,
        note: Note | None = None,
        silent: Callable[[float], None] = lambda seconds: None,
        view: View = View(),  # noqa: B008 (frozen)
    ) -> None:
        self._source, self._view = _source_text(source), view
        self._every_frame, self._every, self._network = every_frame, whole_number(every, "every"), network
        self._note, self._silent = note or note_on_stderr, silent
        self._stop = threading.Event()
        self._frames: NewestFrame | EveryFrame | None = None

    def take(self) -> Frame | None:
        """Return the next frame, for a camera one newer than the last; None when the source has ended.

        Raises:
            EdgenetError: the source cannot be opened, it failed for good, or the camera hangs.
        """
        return self._open().take()

    def close(self) -> None:
        """Release the source; do nothing if it is not open."""
        # Before the capture thread is waited for: it may be in a pause before it reopens a lost camera.
        self._stop.set()
        frames, self._frames = self._frames, None
        if frames is not None:
            frames.__exit__()

    def __enter__(self) -> Camera:
        self._open()
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        if self._frames is not None:  # whoever opened it closes it
            yield from iter(self.take, None)
            return
        with self:
            yield from iter(self.take, None)

    def _open(self) -> NewestFrame | EveryFrame:
        if self._frames is None:
            self._stop.clear()
            self._frames = self._opened().__enter__()
        return self._frames

    def _opened(self) -> NewestFrame | EveryFrame:
        # The camera that sends a stream may start after this program does, as after a power cut.
        waits = is_stream(self._source) and not self._every_frame

        def frames(source: str) -> Iterator[Frame]:
            return read_frames(source, self._every, self._note, self._network, self._view)

        first = [] if waits else [frames(self._source)]
        if self._every_frame or not is_live(self._source):
            return EveryFrame(first.pop())
        name = current_name(self._source)
        opened = time.monotonic()

        def open_frames() -> Iterator[Frame]:
            nonlocal opened
            opened = time.monotonic()
            return first.pop() if first else frames(name())

        def silent(seconds: float) -> None:
            if min(seconds, time.monotonic() - opened) > HUNG_SECONDS:
                raise EdgenetError(
                    f"the camera hangs: for {seconds:.0f} s it gave neither a frame nor an error",
                    "unplug it and plug it in again, or start the program again",
                )
            self._silent(seconds)

        return NewestFrame(reopened_frames(open_frames, self._note, self._stop, waits), silent)


def _source_text(source: Any) -> str:
    if isinstance(source, bool) or not isinstance(source, (int, np.integer, str, os.PathLike)):
        raise TypeError(
            "a source is the number of a camera, a path, a URL or the word csi, "
            f"but a {type(source).__name__} was given"
        )
    text = os.fspath(source) if isinstance(source, os.PathLike) else str(source)
    if not text or (isinstance(source, (int, np.integer)) and source < 0):
        raise EdgenetError(
            f"there is no camera {text or 'without a name'}", "give a number such as 0, or a path"
        )
    return text


def reopened_frames(
    open_frames: Callable[[], Iterator[Frame]],
    note: Note,
    stop: threading.Event | None = None,
    waits: bool = False,
) -> Iterator[Frame]:
    """Yield the frames of a source; when it fails, reopen it and go on.

    If the source cannot be opened the first time, the error reaches the user, who has to mend it, unless `waits` is
    set. After that, every failure is waited out.

    Args:
        open_frames: opens the source.
        note: called when the source fails (once for each reason) and when it works again.
        stop: set by another thread, it ends the frames, even during a pause.
        waits: whether to wait for a source that cannot be opened the first time, too.

    Raises:
        EdgenetError: the source cannot be opened the first time, and `waits` is not set.
    """
    stop = stop or threading.Event()
    frames = _opened_late(open_frames) if waits else open_frames()
    attempt, reason = 0, ""
    while True:
        try:
            for frame in frames:
                if reason:
                    note(BACK)
                attempt, reason = 0, ""
                yield frame
            return
        except EdgenetError as error:
            if str(error) != reason:
                note(f"{error}; trying again")
            reason = str(error)
        finally:
            _close(frames)
        if stop.wait(PAUSES[min(attempt, len(PAUSES) - 1)]):
            return
        attempt += 1
        frames = _opened_late(open_frames)


def _opened_late(open_frames: Callable[[], Iterator[Frame]]) -> Iterator[Frame]:
    """Open the source only at its first frame, so that the caller's loop handles a failure to open."""
    yield from open_frames()


class NewestFrame:
    """Reads frames in its own thread and keeps the newest; use it as a context manager.

    Three buffers rotate: the thread writes into the first, the second holds the newest complete frame, and
    the third holds the frame taken last. So neither side waits while the other copies or reads a frame.

    Args:
        frames: from `read_frames`, or `reopened_frames` around it; closed by the thread.
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
        self._finished = self._stopping = False
        self._thread = WatchedThread("the thread that reads the camera", self._run)

    def __enter__(self) -> NewestFrame:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stopping = True
        # libcamera aborts the process if the camera is left open, so wait for the thread to close it; a
        # blocked read of a CSI camera gives up after five seconds. Other drivers may never return from a
        # read: then the thread, which is a daemon, ends with the process.
        self._thread.join(timeout=CLOSING_SECONDS)

    def take(self) -> Frame | None:
        """Wait for a frame newer than the one taken last and return it; None when the source has ended.

        Its pixels are valid until the next frame is taken.

        Raises:
            EdgenetError: the source failed, or the thread that reads it did.
        """
        began = time.monotonic()
        while not self._is_ready():
            self._silent(time.monotonic() - began)
        with self._changed:
            if self._count == self._seen:
                # Only a source that has ended without an exception has ended; everything else is a failure.
                self._thread.join()
                if self._thread.error is not None:
                    self._thread.check()
                return None
            self._reading, self._whole = self._whole, self._reading
            missed, self._seen = self._count - self._seen - 1, self._count
            whole = self._buffers[self._reading]
            return Frame(self._name, whole.pixels, whole.small, self._captured_ns, missed)

    def _is_ready(self) -> bool:
        """Wait up to SILENCE_SECONDS; return whether there is a new frame, or none will ever come."""
        with self._changed:
            return self._changed.wait_for(
                lambda: self._count != self._seen or self._finished, timeout=SILENCE_SECONDS
            )

    def _run(self) -> None:
        try:
            for frame in self._frames:
                if self._stopping:
                    break
                self._keep(frame)
        finally:
            try:
                _close(self._frames)
            finally:
                with self._changed:
                    self._finished = True
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


def _close(frames: Iterator[Frame]) -> None:
    """Release a source; a list's iterator, which is also one, has nothing to release."""
    if hasattr(frames, "close"):
        frames.close()


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


class EveryFrame:
    """Gives every frame of a source, with the same interface as `NewestFrame`.

    Args:
        frames: from `read_frames`; closed on leaving the block.
    """

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames

    def __enter__(self) -> EveryFrame:
        return self

    def __exit__(self, *reason: object) -> None:
        _close(self._frames)

    def take(self) -> Frame | None:
        """Return the next frame; None after the last one.

        Raises:
            EdgenetError: the source failed.
        """
        frame = next(self._frames, None)
        if frame is None:
            return None
        return frame._replace(captured_ns=time.perf_counter_ns())
