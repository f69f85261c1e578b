"""The core of `camera.py`: it connects a source, a network and the outputs, and runs until it is stopped.

Each output receives every state, and the frame's pixels if there is a frame. A state with `type`: "frame" is
`FrameResult.as_dict` plus the entries of `LiveStatus`. While no frame comes, a state with `type`: "silent" has
only the entries of `LiveStatus`.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Protocol, TextIO

import cv2
import numpy as np

from edgenet_device.classifier import Classifier, ModelOptions
from edgenet_device.entry import ended_by_signals
from edgenet_device.events.event import EventMaker
from edgenet_device.events.hub import EventHub, Sink, Tell
from edgenet_device.events.options import EventOptions, defaults
from edgenet_device.events.sinks import opened_sinks, read_triggers
from edgenet_device.events.watcher import EventWatcher, Happening, HoldTimes
from edgenet_device.foreign_text import json_text, printable_lines, say
from edgenet_device.frames.files import note_on_stderr
from edgenet_device.frames.source import Camera
from edgenet_device.frames.view import View
from edgenet_device.live.field_output import FieldOptions, FieldOutputs, opened_field
from edgenet_device.live.loop import KEPT_TIMES, LabelOptions, classify_frames, summary, table
from edgenet_device.live.outputs import LiveScreen, LiveWindow, Recording, recording_rate
from edgenet_device.live.status import Health, LiveStatus, ServiceState
from edgenet_device.source_text import is_live

if TYPE_CHECKING:
    from edgenet_device.live.page import LivePage
    from edgenet_device.web.address import Address


State = dict[str, Any]
Output = Callable[[State, Optional[np.ndarray]], None]


@dataclass(frozen=True)
class OutputOptions:
    """Where to show the results; see the options of camera.py.

    Attributes:
        serve: the page's address as the user gave it; None for no page.
        record: the MP4 file to write; None for no recording.
        window: whether to open a desktop window.
        as_json: whether to print JSON lines instead of drawing in the terminal.
        state: the service's state file, see `ServiceState`; None when not run as a service.
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
        facts: what the user says about a model of another maker.
        events: when events happen and where they go.
        view: how the camera is set, and how its pictures are turned and cut.
        learning: which photos are kept to learn from, and whether to count by day.
    """

    model: Path
    source: str
    threads: int
    labels: LabelOptions
    frames: int | None
    outputs: OutputOptions
    facts: ModelOptions = field(default_factory=ModelOptions)
    events: EventOptions = field(default_factory=defaults)
    view: View = field(default_factory=View)
    learning: FieldOptions = field(default_factory=FieldOptions)


def run_live(task: LiveTask, out: TextIO) -> int:
    """Watch a source until it ends, or until Ctrl-C or SIGTERM; then print how long each stage took.

    Returns:
        the exit status: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    Raises:
        EdgenetError: the model, the source or an output cannot be used.
    """
    cv2.setNumThreads(1)  # leaves the cores to the network: a resize is too short to gain from threads
    times: deque[tuple[int, ...]] = deque(maxlen=KEPT_TIMES)
    count = 0
    with ended_by_signals() as ended:
        try:
            classifier = task.facts.open(task.model, task.threads)
            with closing(_show_frames(task, classifier, out)) as times_of_frames:
                for stage_ns in times_of_frames:
                    times.append(stage_ns)
                    count += 1
                    if count == task.frames:
                        break
        except KeyboardInterrupt:
            pass
        finally:  # even when the source fails for good
            if count:
                facts = summary(classifier, times, count)
                _print_summary(facts, task.outputs.as_json, out)
    return ended.status


def _show_frames(
    task: LiveTask, classifier: Classifier, out: TextIO
) -> Generator[tuple[int, ...], None, None]:
    """Show every frame on every output; yield the time of each of its stages, nanoseconds."""
    with ExitStack() as open_parts:
        # On a terminal a remark would tear the drawn screen, which shows the remark anyway.
        quiet = out.isatty() and not task.outputs.as_json
        status = LiveStatus(open_parts.enter_context(Health()), _nothing if quiet else note_on_stderr)
        to = OutputContext(
            out, status, task.source, _model_line(classifier), (classifier.width, classifier.height)
        )
        # Before the page: a label that the model does not have ends the program at once.
        open_parts.callback(status.pass_on_remarks)
        events = opened_events(task.events, classifier, status, status.trouble, open_parts)
        learning = opened_field(task.learning, classifier, task.labels.threshold, status.trouble, open_parts)
        outputs = opened_outputs(task.outputs, to, open_parts, learning)
        # First, because another output may draw on the frame.
        outputs[:0] = [part.show for part in (learning.keeper, learning.counts) if part is not None]
        if events is not None:
            outputs.insert(0, events.show)

        def silent(seconds: float) -> None:
            for show in outputs:
                show(status.silence(seconds), None)

        camera = Camera(task.source, network=classifier.size, note=status.note, silent=silent, view=task.view)
        for result in classify_frames(classifier, open_parts.enter_context(camera), task.labels):
            state = {"type": "frame", **result.as_dict(), **status.state()}
            for show in outputs:
                show(state, result.pixels)
            yield result.stage_ns


def _print_summary(facts: dict[str, Any], as_json: bool, out: TextIO) -> None:
    out.write((json_text(facts) if as_json else printable_lines(table(facts))) + "\n")
    out.flush()


def _model_line(classifier: Classifier) -> str:
    runtime, size = classifier.runtime, f"{classifier.width}x{classifier.height}"
    return f"{classifier.model.path.name} · {size} · {runtime.name} {runtime.version}"


def _nothing(message: str) -> None:
    """Drop a remark that is already shown elsewhere."""


@dataclass(frozen=True)
class OutputContext:
    """What the outputs need to know.

    Attributes:
        out: the terminal, or the stream that JSON lines are written to.
        status: receives warnings.
        source: the source as the user gave it.
        model: one line about the model and the runtime.
        network: (width, height) of the network's input.
    """

    out: TextIO
    status: LiveStatus
    source: str
    model: str
    network: tuple[int, int]


def opened_outputs(
    options: OutputOptions,
    to: OutputContext,
    open_parts: ExitStack,
    learning: FieldOutputs = FieldOutputs(),  # noqa: B008 (frozen)
) -> list[Output]:
    """Open the requested outputs, which `open_parts` closes; print the page's URL first.

    Raises:
        EdgenetError: an output cannot be opened, such as a window where there is no display.
    """
    page = None
    if options.serve is not None:
        # Imported late: without the page the program starts in two thirds of the time.
        from edgenet_device.live.page import LivePage
        from edgenet_device.web.address import parse_address

        page = open_parts.enter_context(LivePage(parse_address(options.serve), learning))
        say(f"live page: {_told_address(page.address, options.state is not None)}", sys.stderr)
    first = json_lines(to.out) if options.as_json else on_screen(to.out)
    if options.as_json:
        place = None if page is None else {"url": page.address.url(), "port": page.address.port}
        first({"type": "start", "model": to.model, "page": place}, None)
    outputs = [first] if page is None else [first, on_page(page, {"model": to.model, "network": to.network})]
    if options.state is not None:
        url = None if page is None else page.address.url()
        state = ServiceState(options.state, {"model": to.model, "url": url}, to.status.warn)
        outputs.append(_with_counts(state.show, learning))
    if options.window:
        outputs.append(open_parts.enter_context(LiveWindow()).show)
    if options.record is not None:
        rate, live = recording_rate(to.source), is_live(to.source)
        outputs.append(open_parts.enter_context(Recording(options.record, rate, live, to.status.warn)).show)
    return outputs


def _with_counts(show: Output, learning: FieldOutputs) -> Output:
    """Return an output whose states also have the counts by day, if there are any."""
    counts = learning.counts
    if counts is None:
        return show
    return lambda state, pixels: show({**state, "days": counts.summary()}, pixels)


def _told_address(address: Address, service: bool) -> str:
    """Return the page's address for stderr, which of a service is the journal: others may read that, so no token."""
    if service and address.token is not None:
        return f"{replace(address, token=None).url()} (edgenet status shows its address with the token)"
    return address.url()


def json_lines(out: TextIO) -> Output:
    """Return an output that writes each state as one line of JSON."""

    def show(state: State, pixels: np.ndarray | None) -> None:
        out.write(json_text(state) + "\n")
        out.flush()

    return show


def on_screen(out: TextIO) -> Output:
    """Return an output that draws on the terminal."""
    screen = LiveScreen(out)
    return lambda state, pixels: screen.show(state)


def on_page(page: LivePage, facts: dict[str, Any]) -> Output:
    """Return an output that feeds the page, and adds facts that do not change to every state.

    While no frame comes, the page keeps the last frame's entries, so that a new browser sees them.
    """

    def show(state: State, pixels: np.ndarray | None) -> None:
        page.show({**page.state(), **state, **facts}, pixels)

    return show


class Condition(Protocol):
    """What the events need to know of the camera's state; see `LiveStatus`."""

    @property
    def lost(self) -> str | None:
        """Why the camera fails; None while it works."""

    @property
    def throttled_by(self) -> Sequence[str]:
        """What throttles the device now."""


class EventOutput:
    """Takes the live camera's states and publishes events. It never waits for a sink.

    Args:
        watcher: decides when something happens.
        maker: makes events.
        hub: where they go.
        condition: the camera's and the device's state.
    """

    def __init__(self, watcher: EventWatcher, maker: EventMaker, hub: EventHub, condition: Condition) -> None:
        self._watcher, self._maker, self._hub, self._condition = watcher, maker, hub, condition
        self._moment_s = 0.0
        self._frame: int | None = None

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Take a state, and the frame's pixels, uint8 BGR [H,W,3], if there is a frame."""
        if state["type"] == "frame":
            self._moment_s, self._frame = state["moment_s"], state["frame"]
            happened = self._watcher.frame(self._moment_s, state["label"], state["score"])
        else:
            # Only live sources are ever silent, and the moments of their frames are read from this clock.
            self._moment_s = max(time.perf_counter(), self._moment_s)
            happened = self._watcher.no_frame(self._moment_s, self._condition.lost, state["silent_s"])
        happened += self._watcher.throttling(self._moment_s, self._condition.throttled_by)
        if pixels is not None:
            self._hub.frame(pixels, self._moment_s)
        if happened:
            self._publish(happened, pixels)

    def _publish(self, happened: Sequence[Happening], pixels: np.ndarray | None) -> None:
        # Copied, because the camera writes a later frame into the same memory.
        wanted = pixels is not None and any(map(self._hub.wants_picture, happened))
        picture = pixels.copy() if pixels is not None and wanted else None
        for happening in happened:
            frame = self._frame if pixels is not None else None
            self._hub.publish(self._maker.make(happening, frame), picture)


def opened_events(
    options: EventOptions, classifier: Classifier, condition: Condition, tell: Tell, open_parts: ExitStack
) -> EventOutput | None:
    """Return the output for events, whose sinks `open_parts` closes; None if the options ask for no sink.

    Raises:
        EdgenetError: a label is none of the model's, or a sink cannot be opened.
    """
    triggers = read_triggers(options, classifier.labels)
    sinks: list[Sink] = opened_sinks(options, triggers, classifier.model.path.name)
    if not sinks:
        return None
    hub = open_parts.enter_context(EventHub(sinks, tell))
    watcher = EventWatcher(HoldTimes(options.hold, options.release, triggers.held))
    maker = EventMaker(classifier.model.path.name, classifier.model.sha256)
    return EventOutput(watcher, maker, hub, condition)
