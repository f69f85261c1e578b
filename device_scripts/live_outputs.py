"""The outputs of the live camera: each receives every state, and the frame's pixels if there is a frame.

A state with `type`: "frame" is `Seen.as_dict` plus the entries that `Told` adds. While no frame comes, a
state with `type`: "silent" has only the entries of `Told`.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, TextIO

import numpy as np

from .frames import is_live
from .live_screen import LiveScreen
from .live_source import Told

if TYPE_CHECKING:
    from .live_page import LivePage

State = dict[str, Any]
Output = Callable[[State, Optional[np.ndarray]], None]


@dataclass(frozen=True)
class Wanted:
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
class Destination:
    """What the outputs need to know.

    Attributes:
        out: the terminal, or the stream that JSON lines are written to.
        told: receives warnings.
        source: the source as the user gave it.
        model: one line about the model and the runtime.
    """

    out: TextIO
    told: Told
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


def opened_outputs(wanted: Wanted, to: Destination, open_parts: ExitStack) -> list[Output]:
    """Open the requested outputs, which `open_parts` closes; print the page's URL first.

    Raises:
        EdgenetError: an output cannot be opened, such as a window where there is no display.
    """
    # The imports come late: without these outputs the program starts in two thirds of the time.
    page = None
    if wanted.serve is not None:
        from .live_page import LivePage
        from .page_access import parse_address

        page = open_parts.enter_context(LivePage(parse_address(wanted.serve)))
        print(f"live page: {page.address.url()}", file=sys.stderr, flush=True)
    first = json_lines(to.out) if wanted.as_json else on_screen(to.out)
    if wanted.as_json:
        place = None if page is None else {"url": page.address.url(), "port": page.address.port}
        first({"type": "start", "model": to.model, "page": place}, None)
    outputs = [first] if page is None else [first, on_page(page, to.model)]
    if wanted.state is not None:
        from .service_notify import ServiceState

        url = None if page is None else page.address.url()
        outputs.append(ServiceState(wanted.state, {"model": to.model, "url": url}, to.told.warn).show)
    if wanted.window:
        from .live_window import LiveWindow

        outputs.append(open_parts.enter_context(LiveWindow()).show)
    if wanted.record is not None:
        from .recording import Recording, recording_rate

        rate, live = recording_rate(to.source), is_live(to.source)
        outputs.append(open_parts.enter_context(Recording(wanted.record, rate, live, to.told.warn)).show)
    return outputs
