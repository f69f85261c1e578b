"""The live camera's source: newest frames whatever happens to it, and what to tell while none comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Callable

from .frame import Frame, Note
from .frames import found_again, is_live, read_frames
from .lasting import BACK, lasting_frames
from .newest import EveryFrame, NewestFrame
from .watching import Health


class Told:
    """What is wrong now, for every output.

    Args:
        health: of the device.
        note: told once of each thing.
    """

    def __init__(self, health: Health, note: Note) -> None:
        self._health = health
        self._note = note
        self._lost: str | None = None
        self.more: list[str] = []

    def note(self, message: str) -> None:
        """A remark of the source: it failed, or it is back."""
        self._lost = None if message == BACK else message
        self._note(message)

    def warn(self, message: str) -> None:
        """Something that stays wrong."""
        self.more.append(message)
        self._note(message)

    def state(self) -> dict[str, Any]:
        """`temperature` (degrees Celsius or None), `warnings`, and `lost`: why no frame comes."""
        warnings = [*self._health.warnings, *self.more]
        return {"temperature": self._health.temperature, "warnings": warnings, "lost": self._lost}

    def silence(self, seconds: float) -> dict[str, Any]:
        """The state while no frame has come for so long."""
        state = self.state()
        return {"type": "silent", **state, "lost": state["lost"] or f"no frame for {seconds:.0f} s"}


def live_source(
    source: str,
    network: int | None,
    told: Told,
    stopping: Callable[[], bool],
    silent: Callable[[float], None],
) -> NewestFrame | EveryFrame:
    """Of a camera or a stream the newest frame, whatever happens to it; of files each one.

    Args:
        network: side of the network's input, pixels; None where no network looks.
        stopping: asked while waiting; true ends the frames.
        silent: called every second while no frame comes, with the seconds since the last one.

    Raises:
        EdgenetError: the source cannot be opened, which is told at once.
    """
    frames = read_frames(source, 1, told.note, network)
    if not is_live(source):
        return EveryFrame(frames)
    first: list[Iterator[Frame]] = [frames]
    again = found_again(source)

    def opened() -> Iterator[Frame]:
        return first.pop() if first else read_frames(again(), 1, told.note, network)

    return NewestFrame(lasting_frames(opened, told.note, stopping), silent)
