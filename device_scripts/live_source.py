"""The live camera's source: it survives camera failures, and says what is wrong while no frame comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

from .frame import Frame, Note
from .frames import found_again, is_live, read_frames
from .lasting import BACK, lasting_frames
from .newest import EveryFrame, NewestFrame
from .watching import Health


class Told:
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
    told: Told,
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

    return NewestFrame(lasting_frames(opened, told.note, stopping), silent)
