"""Keeps frames coming: a camera that was unplugged, was busy or failed is reopened until it works again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

from .errors import EdgenetError
from .frame import Frame

PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds before the first, second, ... attempt to reopen; the last value applies to all later attempts."""
BACK = "the camera is back"
"""The remark for the first frame after a failure."""


def lasting_frames(
    open_frames: Callable[[], Iterator[Frame]],
    note: Callable[[str], None],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Frame]:
    """Yield the frames of a source; when it fails, reopen it and go on.

    If the source cannot be opened the first time, the error reaches the user, who has to mend it. After that,
    every failure is waited out.

    Args:
        open_frames: opens the source.
        note: called when the source fails (once for each reason) and when it works again.
        stopping: polled while waiting; the frames end once it returns true.

    Raises:
        EdgenetError: the source cannot be opened the first time.
    """
    frames, attempt, reason = open_frames(), 0, ""
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
            if hasattr(frames, "close"):
                frames.close()
        if not _pause(PAUSES[min(attempt, len(PAUSES) - 1)], stopping):
            return
        attempt += 1
        frames = _opened(open_frames)


def _opened(open_frames: Callable[[], Iterator[Frame]]) -> Iterator[Frame]:
    """Open the source only at its first frame, so that the caller's loop handles a failure to open."""
    yield from open_frames()


def _pause(seconds: float, stopping: Callable[[], bool]) -> bool:
    """Wait; return false as soon as the program is to stop, else true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if stopping():
            return False
        time.sleep(0.05)
    return not stopping()
