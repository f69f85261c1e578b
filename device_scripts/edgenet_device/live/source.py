"""The live camera's source: it survives camera failures, and says what is wrong while no frame comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Callable

from edgenet_device.errors import EdgenetError
from edgenet_device.frames.files import found_again, is_live, read_frames
from edgenet_device.frames.frame import Frame, Note
from edgenet_device.frames.newest import EveryFrame, NewestFrame
from edgenet_device.live.loop import Health


class LiveStatus:
    """Collects what is wrong now, for every output.

    Args:
        health: the device's temperature and throttling.
        note: called with each remark, once.

    Attributes:
        more: lasting warnings, beside those of the device's health.
    """

    def __init__(self, health: Health, note: Note) -> None:
        self._health = health
        self._note = note
        self._lost: str | None = None
        self.more: list[str] = []

    def note(self, message: str) -> None:
        """Take a remark of the source: it failed, or it is back."""
        self._lost = None if message == BACK else message
        self._note(message)

    def warn(self, message: str) -> None:
        """Add a warning that stays."""
        self.more.append(message)
        self._note(message)

    def state(self) -> dict[str, Any]:
        """Return `temperature` (degrees Celsius or None), `warnings`, and `lost` (why no frame comes)."""
        warnings = [*self._health.warnings, *self.more]
        return {"temperature": self._health.temperature, "warnings": warnings, "lost": self._lost}

    def silence(self, seconds: float) -> dict[str, Any]:
        """Return the state to show when no frame has come for this many seconds."""
        state = self.state()
        return {"type": "silent", **state, "lost": state["lost"] or f"no frame for {seconds:.0f} s"}


def live_source(
    source: str,
    network: int | None,
    told: LiveStatus,
    stopping: Callable[[], bool],
    silent: Callable[[float], None],
) -> NewestFrame | EveryFrame:
    """Open a source.

    A camera or stream gives its newest frame and is reopened after failures; files give every frame.

    Args:
        network: side of the network's input, pixels; None where no network is used.
        told: receives remarks when the source fails and when it is back.
        stopping: polled while a lost source is waited for; the frames end once it returns true.
        silent: called every second while no frame comes, with the seconds waited so far.

    Raises:
        EdgenetError: the source cannot be opened; raised by this call.
    """
    frames = read_frames(source, 1, told.note, network)
    if not is_live(source):
        return EveryFrame(frames)
    first: list[Iterator[Frame]] = [frames]
    again = found_again(source)

    def opened() -> Iterator[Frame]:
        return first.pop() if first else read_frames(again(), 1, told.note, network)

    return NewestFrame(reopened_frames(opened, told.note, stopping), silent)


# ==== device_scripts.lasting
# Keeps frames coming: a camera that was unplugged, was busy or failed is reopened until it works again.

PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds before the first, second, ... attempt to reopen; the last value applies to all later attempts."""
BACK = "the camera is back"
"""The remark for the first frame after a failure."""


def reopened_frames(
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
