"""The core of `camera.py`: it connects a source, a network and the outputs, and runs until it is stopped."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, TextIO

import cv2
import numpy as np

from edgenet_device.entry import ended_by_signals
from edgenet_device.errors import EdgenetError
from edgenet_device.frames.files import is_live, note_on_stderr
from edgenet_device.live.loop import KEPT_TIMES, Health, LabelOptions, summary, table, watch
from edgenet_device.live.screen import LiveScreen
from edgenet_device.live.source import LiveStatus, live_source
from edgenet_device.model_file import open_model
from edgenet_device.output_files import write_atomically
from edgenet_device.runtime import Classifier, load_runtime

if TYPE_CHECKING:
    from edgenet_device.live.page import LivePage


@dataclass(frozen=True)
class OutputOptions:
    """Where to show the results; see the options of camera.py.

    Attributes:
        serve: the page's address as the user gave it; None for no page.
        record: the MP4 file to write; None for no recording.
        window: whether to open a desktop window.
        as_json: whether to print JSON lines instead of drawing in the terminal.
        state: the service's state file, see `service_notify`; None when not run as a service.
    """

    serve: str | None = None
    record: Path | None = None
    window: bool = False
    as_json: bool = False
    state: Path | None = None


@dataclass(frozen=True)
class LiveTask:
    """What to watch and where to show it; see the options of camera.py.

    Attributes:
        frames: stop after this many frames; None to go on until the source ends.
    """

    model: Path
    source: str
    threads: int
    watching: LabelOptions
    frames: int | None
    wanted: OutputOptions


def run_live(task: LiveTask, out: TextIO) -> int:
    """Watch a source until it ends, or until Ctrl-C or SIGTERM; then print how long each stage took.

    Returns:
        the exit status: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    Raises:
        EdgenetError: the model, the source or an output cannot be used.
    """
    cv2.setNumThreads(1)  # leaves the cores to the network: a resize is too short to gain from threads
    classifier = Classifier(open_model(task.model), load_runtime(), task.threads)
    times: deque[tuple[int, ...]] = deque(maxlen=KEPT_TIMES)
    count = 0
    with ended_by_signals() as ended:
        try:
            with closing(_shown(task, classifier, out)) as shown:
                for stage_ns in shown:
                    times.append(stage_ns)
                    count += 1
                    if count == task.frames:
                        break
        except KeyboardInterrupt:
            pass
        finally:  # even when the source fails for good
            if count:
                found = summary(classifier, times, count)
                print(json.dumps(found) if task.wanted.as_json else table(found), file=out, flush=True)
    return ended.status


def _shown(task: LiveTask, classifier: Classifier, out: TextIO) -> Generator[tuple[int, ...], None, None]:
    """Show every frame on every output; yield the time of each of its stages, nanoseconds."""
    stop = threading.Event()
    with ExitStack() as open_parts:
        open_parts.callback(stop.set)
        # On a terminal a remark would tear the drawn screen, which shows the remark anyway.
        quiet = out.isatty() and not task.wanted.as_json
        told = LiveStatus(open_parts.enter_context(Health()), _nothing if quiet else note_on_stderr)
        to = OutputContext(out, told, task.source, _model_line(classifier))
        outputs = opened_outputs(task.wanted, to, open_parts)

        def silent(seconds: float) -> None:
            for show in outputs:
                show(told.silence(seconds), None)

        source = live_source(task.source, classifier.size, told, stop.is_set, silent)
        for seen in watch(classifier, open_parts.enter_context(source), task.watching):
            state = {"type": "frame", **seen.as_dict(), **told.state()}
            for show in outputs:
                show(state, seen.pixels)
            yield seen.stage_ns


def _model_line(classifier: Classifier) -> str:
    runtime, size = classifier.runtime, classifier.size
    return f"{classifier.model.path.name} · {size}x{size} · {runtime.name} {runtime.version}"


def _nothing(message: str) -> None:
    """Drop a remark that is already shown elsewhere."""


# ==== device_scripts.live_outputs
# The outputs of the live camera: each receives every state, and the frame's pixels if there is a frame.
#
# A state with `type`: "frame" is `Seen.as_dict` plus the entries that `Told` adds. While no frame comes, a
# state with `type`: "silent" has only the entries of `Told`.

State = dict[str, Any]
Output = Callable[[State, Optional[np.ndarray]], None]


@dataclass(frozen=True)
class OutputContext:
    """What the outputs need to know.

    Attributes:
        out: the terminal, or the stream that JSON lines are written to.
        told: receives warnings.
        source: the source as the user gave it.
        model: one line about the model and the runtime.
    """

    out: TextIO
    told: LiveStatus
    source: str
    model: str


def json_lines(out: TextIO) -> Output:
    """Return an output that writes each state as one line of JSON."""

    def show(state: State, pixels: np.ndarray | None) -> None:
        out.write(json.dumps(state) + "\n")
        out.flush()

    return show


def on_screen(out: TextIO) -> Output:
    """Return an output that draws on the terminal."""
    screen = LiveScreen(out)
    return lambda state, pixels: screen.show(state)


def on_page(page: LivePage, model: str) -> Output:
    """Return an output that feeds the page.

    While no frame comes, the page keeps the last frame's entries, so that a new browser sees them.
    """

    def show(state: State, pixels: np.ndarray | None) -> None:
        page.show({**page.state(), **state, "model": model}, pixels)

    return show


def opened_outputs(wanted: OutputOptions, to: OutputContext, open_parts: ExitStack) -> list[Output]:
    """Open the requested outputs, which `open_parts` closes; print the page's URL first.

    Raises:
        EdgenetError: an output cannot be opened, such as a window where there is no display.
    """
    # The imports come late: without these outputs the program starts in two thirds of the time.
    page = None
    if wanted.serve is not None:
        from edgenet_device.live.page import LivePage, parse_address

        page = open_parts.enter_context(LivePage(parse_address(wanted.serve)))
        print(f"live page: {page.address.url()}", file=sys.stderr, flush=True)
    first = json_lines(to.out) if wanted.as_json else on_screen(to.out)
    if wanted.as_json:
        place = None if page is None else {"url": page.address.url(), "port": page.address.port}
        first({"type": "start", "model": to.model, "page": place}, None)
    outputs = [first] if page is None else [first, on_page(page, to.model)]
    if wanted.state is not None:
        url = None if page is None else page.address.url()
        outputs.append(ServiceState(wanted.state, {"model": to.model, "url": url}, to.told.warn).show)
    if wanted.window:
        from edgenet_device.live.screen import LiveWindow

        outputs.append(open_parts.enter_context(LiveWindow()).show)
    if wanted.record is not None:
        from edgenet_device.live.recording import Recording, recording_rate

        rate, live = recording_rate(to.source), is_live(to.source)
        outputs.append(open_parts.enter_context(Recording(wanted.record, rate, live, to.told.warn)).show)
    return outputs


# ==== device_scripts.service_notify
# The live camera as a service: notifies systemd that it is running, and keeps its state in a file.
#
# The protocol is sd_notify(3): datagrams to the socket that $NOTIFY_SOCKET names. Without that variable (no
# systemd), nothing is sent.

EVERY_SECONDS = 1.0
"""Least seconds between two notifications: often enough for a watchdog of half a minute."""


def notify(message: str) -> None:
    """Send systemd a message, such as "READY=1"; it is no error if nothing receives the message."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, contextlib.suppress(OSError):
        sender.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)


class ServiceState:
    """Writes the state to a file, and notifies systemd each time that the camera's loop is still running.

    The file is always complete and holds the time it was written.

    Args:
        path: the file, best in a folder that is kept in memory, such as /run.
        facts: entries that do not change, such as the model and the page's URL.
        warn: called once if the file cannot be written; the camera goes on.
    """

    def __init__(self, path: Path, facts: dict[str, Any], warn: Callable[[str], None]) -> None:
        self._path = path
        self._state: dict[str, Any] = {**facts, "started": time.time()}
        self._warn: Callable[[str], None] | None = warn
        self._told: float | None = None

    def show(self, state: dict[str, Any], pixels: object) -> None:
        """Take a state (see `live_outputs`); write and notify at most once per second."""
        self._state = {**self._state, **state}
        now = time.monotonic()
        if self._told is not None and now - self._told < EVERY_SECONDS:
            return
        # The first state proves that the model, the camera and the page are ready.
        notify("WATCHDOG=1" if self._told is not None else "READY=1")
        self._told = now
        try:
            write_atomically(self._path, json.dumps({**self._state, "written": time.time()}).encode())
        except EdgenetError as error:
            if self._warn is not None:
                self._warn(str(error))
            self._warn = None
