"""Frames that go on: a camera that was unplugged, was busy or failed is opened again until it is back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

from .errors import EdgenetError
from .frame import Frame

PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts; the last one for all that follow."""
BACK = "the camera is back"
"""The remark that all is well again."""


def lasting_frames(
    open_frames: Callable[[], Iterator[Frame]],
    note: Callable[[str], None],
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Frame]:
    """The frames of a source, and again those of the same source after it failed.

    A source that cannot be opened at first is the user's to mend; one that worked before is waited for.

    Args:
        open_frames: opens the source.
        note: told when the source fails (once for each reason) and when it is back.
        stopping: asked while waiting; true ends the frames.

    Raises:
        EdgenetError: it cannot be opened the first time.
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
    """Opens at the first frame, so that a failure to open is one of the frames'."""
    yield from open_frames()


def _pause(seconds: float, stopping: Callable[[], bool]) -> bool:
    """Waits; false as soon as the program is to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if stopping():
            return False
        time.sleep(0.05)
    return not stopping()
