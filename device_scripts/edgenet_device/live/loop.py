"""The one live loop, of camera.py and classify.py: frames in, labels and the time of each stage out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from edgenet_device.classifier import NOTHING_KNOWN, Classifier, Label, top_k
from edgenet_device.frames import Frame
from edgenet_device.latency.samples import percentile
from edgenet_device.ports import rule_for

STAGES = ("capture", "preprocess", "inference", "postprocess")
KEPT_TIMES = 10_000
"""The summary covers at most this many of the latest frames, because a camera may run for days."""
RECENT = 120
"""Number of latest frames that the frame rate and the latency are computed over."""
PACE_EVERY = 10
"""Frames between two updates of rate and latency: nobody reads faster, and it spares a Pi the work."""


class Source(Protocol):
    """What gives frames, such as a `Camera`."""

    def take(self) -> Frame | None:
        """Return the next frame; None when the source has ended."""
        ...


@dataclass(frozen=True)
class LabelOptions:
    """How to turn frames into labels.

    Attributes:
        top: number of labels to give.
        threshold: if the best score is below this, 0..1, the label is None.
        half_life_s: half-life of the scores' moving average, seconds, and the time for which another label must be
            the right one before it is shown; 0 for neither.
    """

    top: int = 5
    threshold: float = 0.3
    half_life_s: float = 0.3


@dataclass(frozen=True)
class FrameResult:
    """The result for one frame.

    Attributes:
        number: the frame's number, counted from 1.
        name: the frame's name.
        pixels: uint8 BGR [H,W,3]; valid until the next frame.
        top: (class index, label, smoothed score) from best to worst.
        label: the label to show, see `SteadyAnswer`; None where the network knows nothing of what it sees.
        score: the smoothed score of `label`; None where that is None.
        stage_ns: nanoseconds of each of STAGES; the first is the wait for the frame.
        missed: number of the camera's frames that were skipped since the beginning.
        fps: frames classified per second; None before the second one.
        p50_ms: median time from a frame's capture to its labels over the latest RECENT frames, milliseconds.
        moment_ns: the time of what the picture shows, see `Frame.moment_ns`.
    """

    number: int
    name: str
    pixels: np.ndarray
    top: tuple[Label, ...]
    label: str | None
    score: float | None
    stage_ns: tuple[int, ...]
    missed: int
    fps: float | None
    p50_ms: float
    moment_ns: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the result in JSON's types, without the pixels."""
        return {
            "frame": self.number,
            "name": self.name,
            "label": self.label,
            "score": None if self.score is None else round(self.score, 4),
            "top": [{"index": i, "label": label, "score": round(score, 4)} for i, label, score in self.top],
            "ms": dict(zip(STAGES, (round(ns / 1e6, 3) for ns in self.stage_ns))),
            "fps": None if self.fps is None else round(self.fps, 1),
            "p50_ms": round(self.p50_ms, 2),
            "missed": self.missed,
            "moment_s": round(self.moment_ns / 1e9, 3),
        }


_DEFAULT = LabelOptions()


def classify_frames(
    classifier: Classifier, source: Source, options: LabelOptions = _DEFAULT
) -> Iterator[FrameResult]:
    """Classify a source's next frame again and again until the source ends; yield each result.

    >>> for seen in classify_frames(Classifier("v2.edgenet"), Camera(0)):  # doctest: +SKIP
    ...     print(seen.label, seen.score)

    Args:
        classifier: the network.
        source: the camera, or whatever else gives frames.
        options: how scores become the label that is shown.

    Raises:
        EdgenetError: the source failed.
    """
    smoother, pace = Smoother(options.half_life_s), Pace()
    steady = SteadyAnswer(classifier.labels, options.threshold, options.half_life_s)
    number = missed = 0
    while True:
        asked = time.perf_counter_ns()
        frame = source.take()
        if frame is None:
            return
        began = time.perf_counter_ns()
        classifier.write(frame.for_network)
        prepared = time.perf_counter_ns()
        classifier.invoke()
        inferred = time.perf_counter_ns()
        scores = smoother.update(classifier.scores(), frame.moment_ns)
        top = classifier.best(scores, options.top)
        answer = steady.update(scores, frame.moment_ns)
        done = time.perf_counter_ns()
        number, missed = number + 1, missed + frame.missed
        pace.add(done, done - frame.captured_ns)
        yield FrameResult(
            number,
            frame.name,
            frame.pixels,
            top,
            None if answer is None else classifier.labels[answer],
            None if answer is None else float(scores[answer]),
            (began - asked, prepared - began, inferred - prepared, done - inferred),
            missed,
            pace.fps,
            pace.p50_ms,
            frame.moment_ns,
        )


class Smoother:
    """An exponential moving average of scores, with a half-life in seconds so that any frame rate will do.

    Args:
        half_life_s: seconds after which a score's weight has halved; 0 for no smoothing.
    """

    def __init__(self, half_life_s: float) -> None:
        self.half_life_s = half_life_s
        self._average: np.ndarray | None = None
        self._time_ns = 0

    def update(self, scores: np.ndarray, time_ns: int) -> np.ndarray:
        """Add a frame's scores and return the new average, float32 [classes], valid until the next call.

        Without smoothing, that is `scores` itself.

        Args:
            scores: float32 [classes].
            time_ns: the frame's moment, nanoseconds.
        """
        if self.half_life_s == 0:
            return scores
        if self._average is None:
            self._average = scores.astype(np.float32)
        else:
            keep = 0.5 ** ((time_ns - self._time_ns) / 1e9 / self.half_life_s)
            self._average *= keep
            self._average += (1 - keep) * scores
        self._time_ns = time_ns
        return self._average


STAY = 2 / 3
"""A class that is shown stays while its score is at least this share of what an answer needs."""

GIVE_UP = 4
"""See `SteadyAnswer`."""


class SteadyAnswer:
    """Chooses the class to show, so that it does not flicker.

    A frame's answer is the class with the best score; it is None if that score is below the threshold or the
    class is the network's own "nothing I know". None replaces a class only if the class's score is also clearly
    too low (see `STAY`). Another answer is shown after it has been the answer of every frame for `hold_s`
    seconds. A class that has not been the answer for `GIVE_UP` times that long, while the answers kept changing,
    gives way to None.

    Args:
        labels: the label of every class.
        threshold: the least score of an answer, 0..1.
        hold_s: see above, seconds; 0 shows every frame's own answer.
    """

    def __init__(self, labels: Sequence[str], threshold: float, hold_s: float) -> None:
        self._unknown = {index for index, label in enumerate(labels) if label == NOTHING_KNOWN}
        self._threshold = threshold
        self._hold_ns = hold_s * 1e9
        self._shown: int | None = None
        self._right_ns = -1
        self._next: int | None = None
        self._next_ns = 0

    def update(self, scores: np.ndarray, time_ns: int) -> int | None:
        """Return the class to show, or None for "nothing I know".

        Args:
            scores: float32 [classes], smoothed.
            time_ns: the frame's moment, nanoseconds.
        """
        answer = self._answer(scores)
        first = self._right_ns < 0
        if answer != self._next:
            self._next, self._next_ns = answer, time_ns
        if first or answer == self._shown or time_ns - self._next_ns >= self._hold_ns:
            self._shown, self._right_ns = answer, time_ns
        elif time_ns - self._right_ns >= GIVE_UP * self._hold_ns:
            self._shown = None
        return self._shown

    def _answer(self, scores: np.ndarray) -> int | None:
        """Return the answer of one frame."""
        ((best, score),) = top_k(scores, 1)
        if score >= self._threshold and best not in self._unknown:
            return best
        if not self._hold_ns or self._shown is None:
            return None
        return self._shown if scores[self._shown] >= STAY * max(score, self._threshold) else None


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


def summary(classifier: Classifier, times: Iterable[tuple[int, ...]], count: int) -> dict[str, Any]:
    """Return each stage's median (p50, ms) and its share of the sum of the four medians, ready for JSON.

    Args:
        times: for each timed frame, the nanoseconds of each of STAGES.
        count: number of all frames, timed or not.
    """
    columns = np.array(list(times), np.int64).T
    medians = [percentile(column, 50) / 1e6 for column in columns]
    total = sum(medians)
    return {
        "type": "summary",
        "schema": "edgenet.classify.v1",
        "frames": count,
        "frames_timed": columns.shape[1],
        "stages": {
            stage: {"p50_ms": median, "share": median / total if total else None}
            for stage, median in zip(STAGES, medians)
        },
        "sum_of_p50_ms": total,
        "model": {
            "file": classifier.model.path.name,
            "sha256": classifier.model.sha256,
            "size": classifier.size,
        },
        "preprocessing": rule_for(classifier.height, classifier.width),
        "runtime": {"name": classifier.runtime.name, "version": classifier.runtime.version},
        "delegate": classifier.delegate.as_dict(),
        "threads": classifier.threads,
    }


def one_line_summary(facts: dict[str, Any]) -> str:
    """Return a summary as one line of text."""
    runtime, threads = facts["runtime"], facts["threads"]
    return (
        f"{facts['frames']} frame{'s' * (facts['frames'] != 1)}  ·  "
        f"inference {facts['stages']['inference']['p50_ms']:.2f} ms (p50)  ·  whole frame "
        f"{facts['sum_of_p50_ms']:.2f} ms  ·  {runtime['name']} {runtime['version']}, "
        f"{threads} thread{'s' * (threads != 1)}"
    )


def table(facts: dict[str, Any]) -> str:
    """Return a summary as a table."""
    lines = [f"\n{'stage':<12} {'p50 ms':>8} {'share':>7}"]
    for stage, row in facts["stages"].items():
        share = "-" if row["share"] is None else f"{row['share'] * 100:.0f} %"
        lines.append(f"{stage:<12} {row['p50_ms']:>8.2f} {share:>7}")
    delegate = facts["delegate"]
    taken = (
        "unknown"
        if delegate["nodes_total"] is None
        else f"{delegate['nodes_taken']} of {delegate['nodes_total']}"
    )
    lines.append(f"{'sum':<12} {facts['sum_of_p50_ms']:>8.2f}")
    lines.append(
        f"{one_line_summary(facts).split('  ·  ')[-1]}; nodes taken by {delegate['name'] or 'a delegate'}: {taken}"
    )
    if "contact_sheet" in facts:
        lines.append(f"contact sheet: {facts['contact_sheet']}")
    return "\n".join(lines)
