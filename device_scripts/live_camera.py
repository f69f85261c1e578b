"""`camera.py`: a source, a network, and everything that shows what it sees, for as long as it is wanted."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, TextIO

import cv2

from .frames import is_live, note_on_stderr, read_frames
from .lasting import BACK, lasting_frames
from .live_page import LivePage, parse_address
from .live_screen import LiveScreen
from .model_file import open_model
from .newest import EveryFrame, NewestFrame
from .runtime import Classifier, load_runtime
from .watching import Health, Seen, Watching, watch


@dataclass(frozen=True)
class LiveTask:
    """What to watch and where to show it; see the options of camera.py."""

    model: Path
    source: str
    threads: int
    watching: Watching
    frames: int | None
    serve: str | None
    as_json: bool


class _Trouble:
    """What is wrong with the source now; told once on stderr as well."""

    def __init__(self) -> None:
        self.now: str | None = None

    def note(self, message: str) -> None:
        """A remark of the source: it failed, or it is back."""
        self.now = None if message == BACK else message
        note_on_stderr(message)


def run_live(task: LiveTask, out: TextIO) -> int:
    """Watches a source until it ends, or Ctrl-C or SIGTERM comes.

    Returns:
        0, or 130 after Ctrl-C and 143 after SIGTERM.

    Raises:
        EdgenetError: the model, the source or the address cannot be used.
    """
    cv2.setNumThreads(1)  # the cores are the network's; a resize is too short to share
    classifier = Classifier(open_model(task.model), load_runtime(), task.threads)
    trouble, stop = _Trouble(), threading.Event()
    count = 0
    with _ended_by_signals() as ended, ExitStack() as open_parts:
        open_parts.callback(stop.set)  # before the capture thread is waited for
        health = open_parts.enter_context(Health())
        page = None
        if task.serve is not None:
            page = open_parts.enter_context(LivePage(parse_address(task.serve)))
            print(f"live page: {page.address.url()}", file=sys.stderr, flush=True)
        screen = LiveScreen(out)
        try:

            def silent(seconds: float) -> None:
                if page is not None:
                    lost = trouble.now or f"no frame for {seconds:.0f} s"
                    page.show({**page.state(), **_told(health, trouble), "lost": lost}, None)

            newest = open_parts.enter_context(_frames(task, trouble, stop, silent))
            for seen in watch(classifier, newest, task.watching):
                if page is not None:
                    page.show(_state(seen, classifier, health, trouble), seen.pixels)
                _tell(seen, task, screen, _told(health, trouble), out)
                count += 1
                if count == task.frames:
                    break
        except KeyboardInterrupt:
            pass
    return ended.status


def _frames(
    task: LiveTask, trouble: _Trouble, stop: threading.Event, silent: Callable[[float], None]
) -> NewestFrame | EveryFrame:
    """Of a camera or a stream the newest frame, whatever happens to it; of files each one."""
    frames = read_frames(task.source, 1, trouble.note)  # a mistake in the source is told at once
    if not is_live(task.source):
        return EveryFrame(frames)
    first: list[Iterator[Any]] = [frames]

    def opened() -> Iterator[Any]:
        return first.pop() if first else read_frames(task.source, 1, trouble.note)

    return NewestFrame(lasting_frames(opened, trouble.note, stop.is_set), silent)


def _told(health: Health, trouble: _Trouble) -> dict[str, Any]:
    return {"temperature": health.temperature, "warnings": list(health.warnings), "lost": trouble.now}


def _state(seen: Seen, classifier: Classifier, health: Health, trouble: _Trouble) -> dict[str, Any]:
    """What the page shows."""
    runtime = classifier.runtime
    model = f"{classifier.model.path.name} · {classifier.size}x{classifier.size} · {runtime.name} {runtime.version}"
    return {**seen.as_dict(), **_told(health, trouble), "model": model}


def _tell(seen: Seen, task: LiveTask, screen: LiveScreen, told: dict[str, Any], out: TextIO) -> None:
    if task.as_json:
        print(json.dumps({"type": "frame", **seen.as_dict(), **told}), file=out, flush=True)
    else:
        screen.show(seen, told)


class _Ended:
    status = 0


@contextmanager
def _ended_by_signals() -> Iterator[_Ended]:
    """Ctrl-C and SIGTERM end the block alike: a service is stopped by the second."""
    ended = _Ended()

    def end(number: int, frame: object) -> None:
        ended.status = 128 + number
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
