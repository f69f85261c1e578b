"""Where the live camera's findings go: each output is given every state, and the frame's pixels where there is one.

A state is `Seen.as_dict` with `type`: "frame", and what `Told` adds; or, while no frame comes, only the latter with
`type`: "silent".
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
    """Where to show it; see the options of camera.py.

    Attributes:
        serve: the page's address as the user gave it; None for no page.
        state: the service's file, see `service_notify`; None where it is no service.
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
        out: the terminal, or where the JSON goes.
        told: takes warnings.
        source: as the user gave it.
        model: one line about the model and what runs it.
    """

    out: TextIO
    told: Told
    source: str
    model: str


def json_lines(out: TextIO) -> Output:
    """One object a line."""

    def show(state: State, pixels: np.ndarray | None) -> None:
        out.write(json.dumps(state) + "\n")
        out.flush()

    return show


def on_screen(out: TextIO) -> Output:
    """The terminal's view."""
    screen = LiveScreen(out)
    return lambda state, pixels: screen.show(state)


def on_page(page: LivePage, model: str) -> Output:
    """The page: a browser that comes while no frame does sees the last one's state."""

    def show(state: State, pixels: np.ndarray | None) -> None:
        page.show({**page.state(), **state, "model": model}, pixels)

    return show


def opened_outputs(wanted: Wanted, to: Destination, open_parts: ExitStack) -> list[Output]:
    """Every output that is wanted; `open_parts` closes them. Where the page is, is told first.

    Raises:
        EdgenetError: one cannot be had, such as a window where there is no display.
    """
    # Late imports: who asks for none of these starts in two thirds of the time.
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
