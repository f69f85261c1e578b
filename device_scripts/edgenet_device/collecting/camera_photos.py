"""Takes photos with a camera, for a folder on this machine or to send to another machine."""

from __future__ import annotations

import base64
import select
import sys
from contextlib import ExitStack, suppress
from typing import Any, Callable, TextIO

import cv2

from edgenet_device.collecting.collector import QUALITY, Collector, EverySeconds, Photo, PhotoTrigger, collect
from edgenet_device.entry import ended_by_signals
from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import json_text, say
from edgenet_device.frames.files import note_on_stderr
from edgenet_device.frames.source import Camera
from edgenet_device.frames.view import View
from edgenet_device.live.status import Health, LiveStatus
from edgenet_device.source_text import is_live


def collect_here(
    collector: Collector, source: str, every: float | None, count: int | None, view: View
) -> int:
    """Collect photos until there are enough, the source ends, or Ctrl-C; return the exit status.

    Args:
        every: seconds between two photos; None takes one at each key press. If the source is a file or a
            folder, None makes every frame a candidate.
        count: stop after this many kept photos; None for no limit.
        view: how the camera is set, and how its pictures are turned and cut.

    Raises:
        EdgenetError: the source or the folder cannot be used.
    """
    with ended_by_signals() as ended, ExitStack() as open_parts:
        trigger: PhotoTrigger = EverySeconds(every or 0.0)
        if every is None and is_live(source):
            trigger = open_parts.enter_context(Keys())
            say("space or Enter takes a photo, q ends")
        with suppress(KeyboardInterrupt):
            frames = open_parts.enter_context(_camera(source, _nothing_comes, view))
            collect((Photo(frame.pixels) for frame in frames), collector, trigger, say, count)
    say(f"{collector.kept} photos kept")
    return ended.status


def send(source: str, every: float, view: View, out: TextIO) -> int:
    """Send photos until the source ends or the program is stopped; return the exit status.

    Args:
        every: least seconds between two photos of a camera or stream; of a file, every frame is sent.
        view: how the camera is set, and how its pictures are turned and cut.
        out: receives one line of JSON per photo.

    Raises:
        EdgenetError: the source cannot be used.
    """
    pause = EverySeconds(every if is_live(source) else 0.0)

    def silent(state: dict[str, Any]) -> None:
        _write(out, state)

    with ended_by_signals() as ended, suppress(KeyboardInterrupt), _camera(source, silent, view) as camera:
        for frame in camera:
            if not pause.is_due():
                continue
            pause.was_kept(True)
            jpeg = cv2.imencode(".jpg", frame.pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            _write(out, {"type": "photo", "jpeg": base64.b64encode(jpeg).decode()})
    return ended.status


def _camera(source: str, silent: Callable[[dict[str, Any]], None], view: View) -> Camera:
    """Return a camera that calls `silent` with a state, once per second, while no frame comes."""
    status = LiveStatus(Health(), note_on_stderr)
    return Camera(source, note=status.note, silent=lambda seconds: silent(status.silence(seconds)), view=view)


def _nothing_comes(state: dict[str, Any]) -> None:
    """Drop the state: `LiveStatus` already prints a remark on stderr when the camera fails."""


def _write(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json_text(line) + "\n")
    out.flush()


class Keys:
    """The terminal's keys; use it as a context manager, which restores the terminal's settings at the end.

    It serves as the `PhotoTrigger` of `collect`: space or Enter takes a photo; q and Esc raise
    KeyboardInterrupt, as Ctrl-C does.

    Raises:
        EdgenetError: there is no terminal, or it cannot deliver single keys.
    """

    def __enter__(self) -> Keys:
        try:
            import termios
            import tty
        except ImportError:
            raise EdgenetError(
                "this system's terminal cannot report single keys", "give --every SECONDS"
            ) from None
        if not sys.stdin.isatty():
            raise EdgenetError("there is no terminal to press keys in", "give --every SECONDS")
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, *reason: object) -> None:
        import termios

        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def is_due(self) -> bool:
        """Return whether space or Enter was pressed since the last call."""
        pressed = False
        while select.select([sys.stdin], [], [], 0)[0]:
            key = sys.stdin.read(1)
            if key in ("q", "\x1b", ""):
                raise KeyboardInterrupt
            pressed = pressed or key in (" ", "\n")
        return pressed

    def was_kept(self, kept: bool) -> None:
        """Do nothing: the next key press decides about the next photo, whatever became of this one."""
