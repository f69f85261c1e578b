"""The live camera's loop: it takes the newest frame and yields smoothed labels and the time of each stage."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .conditions import look
from .newest import EveryFrame, NewestFrame
from .preprocess import CentreSquare
from .runtime import Classifier
from .sample_statistics import percentile
from .smoothing import Smoother
from .stage_summary import STAGES
from .topk import top_k

RECENT = 120
"""Number of latest frames that the frame rate and the latency are computed over."""
PACE_EVERY = 10
"""Frames between two updates of rate and latency: nobody reads faster, and it spares a Pi the work."""
LOOK_SECONDS = 2.0
"""Seconds between two readings of temperature and throttling; on a Pi each reading starts a process."""


@dataclass(frozen=True)
class Watching:
    """How to turn frames into labels.

    Attributes:
        top: number of labels to give.
        threshold: if the best score is below this, 0..1, the label is None.
        half_life_s: half-life of the scores' moving average, seconds; 0 for no smoothing.
    """

    top: int = 5
    threshold: float = 0.3
    half_life_s: float = 0.3


@dataclass(frozen=True)
class Seen:
    """The result for one frame.

    Attributes:
        number: the frame's number, counted from 1.
        name: the frame's name.
        pixels: uint8 BGR [H,W,3]; valid until the next frame.
        top: (class index, label, smoothed score) from best to worst.
        label: the best label; None where its score is below the threshold.
        stage_ns: nanoseconds of each of STAGES; the first is the wait for the frame.
        missed: number of the camera's frames that were skipped since the beginning.
        fps: frames classified per second; None before the second one.
        p50_ms: median time from a frame's capture to its labels over the latest RECENT frames, milliseconds.
    """

    number: int
    name: str
    pixels: np.ndarray
    top: tuple[tuple[int, str, float], ...]
    label: str | None
    stage_ns: tuple[int, ...]
    missed: int
    fps: float | None
    p50_ms: float

    def as_dict(self) -> dict[str, Any]:
        """Return the result in JSON's types, without the pixels."""
        return {
            "frame": self.number,
            "name": self.name,
            "label": self.label,
            "top": [{"index": i, "label": label, "score": round(score, 4)} for i, label, score in self.top],
            "ms": dict(zip(STAGES, (round(ns / 1e6, 3) for ns in self.stage_ns))),
            "fps": None if self.fps is None else round(self.fps, 1),
            "p50_ms": round(self.p50_ms, 2),
            "missed": self.missed,
        }


def watch(classifier: Classifier, newest: NewestFrame | EveryFrame, watching: Watching) -> Iterator[Seen]:
    """Classify the newest frame again and again until the source ends; yield each result.

    Raises:
        EdgenetError: the source failed.
    """
    smoother, pace = Smoother(watching.half_life_s), Pace()
    rule: CentreSquare | None = None
    number = missed = 0
    while True:
        asked = time.perf_counter_ns()
        taken = newest.take()
        if taken is None:
            return
        began = time.perf_counter_ns()
        picture = taken.pixels if taken.small is None else taken.small
        if rule is None or rule.frame_shape != picture.shape[:2]:
            rule = CentreSquare(picture.shape[:2], classifier.size)
        rule.write(picture, classifier.input_view())
        prepared = time.perf_counter_ns()
        classifier.invoke()
        inferred = time.perf_counter_ns()
        scores = smoother.update(classifier.scores(), taken.captured_ns)
        top = tuple((i, classifier.labels[i], score) for i, score in top_k(scores, watching.top))
        done = time.perf_counter_ns()
        number, missed = number + 1, missed + taken.missed
        pace.add(done, done - taken.captured_ns)
        yield Seen(
            number,
            taken.name,
            taken.pixels,
            top,
            top[0][1] if top and top[0][2] >= watching.threshold else None,
            (began - asked, prepared - began, inferred - prepared, done - inferred),
            missed,
            pace.fps,
            pace.p50_ms,
        )


class Pace:
    """The frame rate and the latency over the latest RECENT frames.

    Attributes:
        fps: frames per second; None before the second frame.
        p50_ms: median time from a frame's capture to its labels, milliseconds.
    """

    def __init__(self) -> None:
        self.fps: float | None = None
        self.p50_ms = 0.0
        self._moments: deque[int] = deque(maxlen=RECENT)
        self._latencies: deque[int] = deque(maxlen=RECENT)
        self._added = 0

    def add(self, done_ns: int, latency_ns: int) -> None:
        """Count a frame: when its labels were ready, and how long after its capture that was."""
        self._moments.append(done_ns)
        self._latencies.append(latency_ns)
        self._added += 1
        if self._added > PACE_EVERY and self._added % PACE_EVERY:
            return
        self.p50_ms = percentile(np.array(self._latencies), 50) / 1e6
        if len(self._moments) > 1:
            self.fps = (len(self._moments) - 1) / ((self._moments[-1] - self._moments[0]) / 1e9)


class Health:
    """The device's temperature and throttling, read every LOOK_SECONDS in a separate thread.

    Attributes:
        temperature: temperature of the hottest sensor, degrees Celsius; None where the device reports none.
        warnings: what throttles the device now, such as "under-voltage".
    """

    def __init__(self) -> None:
        self.temperature: float | None = None
        self.warnings: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def __enter__(self) -> Health:
        self._thread.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stop.set()

    def _run(self) -> None:
        while True:
            seen = look()
            self.temperature = max((seen.temperatures_celsius or {}).values(), default=None)
            self.warnings = tuple((seen.throttling or {}).get("now", ()))
            if self._stop.wait(LOOK_SECONDS):
                return
