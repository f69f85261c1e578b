"""The live camera's events: an output that turns its states into events and hands them to the sinks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np

from edgenet_device.classifier import Classifier
from edgenet_device.events.event import EventMaker
from edgenet_device.events.hub import EventHub, Sink, Tell
from edgenet_device.events.options import EventOptions
from edgenet_device.events.sinks import opened_sinks, read_triggers
from edgenet_device.events.watcher import EventWatcher, Happening, HoldTimes


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
