"""Takes photos with a camera, for a folder on this machine or to send to another machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Callable, TextIO

import cv2

from .collecting import QUALITY, Collector, EverySeconds, Moments, Photo, collect
from .frames import is_live, note_on_stderr
from .keys import Keys
from .live_source import Told, live_source
from .signals import ended_by_signals
from .watching import Health


def collect_here(collector: Collector, source: str, every: float | None, count: int | None) -> int:
    """Collect photos until there are enough, the source ends, or Ctrl-C; return the exit status.

    Args:
        every: seconds between two photos; None takes one at each key press. If the source is a file or a
            folder, None makes every frame a candidate.
        count: stop after this many kept photos; None for no limit.

    Raises:
        EdgenetError: the source or the folder cannot be used.
    """
    with ended_by_signals() as ended, ExitStack() as open_parts:
        moments: Moments = EverySeconds(every or 0.0)
        if every is None and is_live(source):
            moments = open_parts.enter_context(Keys())
            print("space or Enter takes a photo, q ends", flush=True)
        with suppress(KeyboardInterrupt):
            collect(_photos(source, _nothing_comes, open_parts), collector, moments, print, count)
    print(f"{collector.kept} photos kept", flush=True)
    return ended.status


def send(source: str, every: float, out: TextIO) -> int:
    """Send photos until the source ends or the program is stopped; return the exit status.

    Args:
        every: least seconds between two photos of a camera or stream; of a file, every frame is sent.
        out: receives one line of JSON per photo.

    Raises:
        EdgenetError: the source cannot be used.
    """
    pause = EverySeconds(every if is_live(source) else 0.0)

    def silent(state: dict[str, Any]) -> None:
        _write(out, state)

    with ended_by_signals() as ended, ExitStack() as open_parts:
        try:
            for photo in _photos(source, silent, open_parts):
                if not pause.due():
                    continue
                pause.judged(True)
                jpeg = cv2.imencode(".jpg", photo.pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
                _write(out, {"type": "photo", "jpeg": base64.b64encode(jpeg).decode()})
        except KeyboardInterrupt:
            pass
    return ended.status


def _photos(source: str, silent: Callable[[dict[str, Any]], None], open_parts: ExitStack) -> Iterator[Photo]:
    stop = threading.Event()
    told = Told(Health(), note_on_stderr)
    frames = live_source(source, None, told, stop.is_set, lambda seconds: silent(told.silence(seconds)))
    newest = open_parts.enter_context(frames)
    open_parts.callback(stop.set)
    while (taken := newest.take()) is not None:
        yield Photo(taken.pixels)


def _nothing_comes(state: dict[str, Any]) -> None:
    """Drop the state: `Told` already prints a remark on stderr when the source fails."""


def _write(out: TextIO, line: dict[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()
