"""The loop of classify.py: it classifies every frame, prints the labels, and times each stage."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import cv2
import numpy as np

from edgenet_device.frames.files import note_on_stderr, read_frames
from edgenet_device.frames.frame import Frame
from edgenet_device.live.drawing import (
    SHEET_LABELS,
    EvenPick,
    check_sheet_path,
    draw_contact_sheet,
    save_contact_sheet,
)
from edgenet_device.live.loop import KEPT_TIMES, STAGES, one_line, summary, table
from edgenet_device.model_file import open_model
from edgenet_device.preprocess import CentreSquare, top_k
from edgenet_device.runtime import Classifier, load_runtime


@dataclass(frozen=True)
class Task:
    """What to classify and how; see the options of classify.py."""

    model: Path
    source: str
    top: int
    threads: int
    frames: int | None
    every: int
    as_json: bool
    contact_sheet: Path | None


@dataclass(frozen=True)
class Result:
    """One classified frame.

    Attributes:
        name: the frame's name.
        frame: uint8 BGR [H,W,3]; valid until the next frame is requested.
        best: (class index, label, score 0..1) from best to worst.
        stage_ns: duration of each of STAGES, nanoseconds.
    """

    name: str
    frame: np.ndarray
    best: tuple[tuple[int, str, float], ...]
    stage_ns: tuple[int, ...]

    def labelled(self) -> list[tuple[str, float]]:
        """Return (label, score) from best to worst."""
        return [(label, score) for _, label, score in self.best]


def classify_frames(classifier: Classifier, frames: Iterable[Frame], top: int) -> Iterator[Result]:
    """Classify frames one by one; the pixels are written straight into the interpreter's input tensor."""
    rule: CentreSquare | None = None
    iterator = iter(frames)
    while True:
        start = time.perf_counter_ns()
        item = next(iterator, None)
        captured = time.perf_counter_ns()
        if item is None:
            return
        frame = item.pixels
        if rule is None or rule.frame_shape != frame.shape[:2]:
            rule = CentreSquare(frame.shape[:2], classifier.size)
        rule.write(frame, classifier.input_view())
        prepared = time.perf_counter_ns()
        classifier.invoke()
        inferred = time.perf_counter_ns()
        best = tuple((i, classifier.labels[i], score) for i, score in top_k(classifier.scores(), top))
        done = time.perf_counter_ns()
        yield Result(
            item.name,
            frame,
            best,
            (captured - start, prepared - captured, inferred - prepared, done - inferred),
        )


def classify_source(task: Task, out: TextIO) -> int:
    """Classify a source and print every frame and the summary to `out`.

    Returns:
        0; or 130 after Ctrl-C, the usual way to end a camera. The summary and the contact sheet are made even
        then.

    Raises:
        EdgenetError: the model, the source or the contact sheet's path cannot be used.
    """
    if task.contact_sheet:
        check_sheet_path(task.contact_sheet)
    cv2.setNumThreads(1)  # leaves the cores to the network: a resize is too short to gain from threads
    classifier = Classifier(open_model(task.model), load_runtime(), task.threads)
    most = max(task.top, SHEET_LABELS) if task.contact_sheet else task.top
    pick = EvenPick()
    times: deque[tuple[int, ...]] = deque(maxlen=KEPT_TIMES)
    count, status = 0, 0
    try:
        with closing_frames(task) as frames:
            for result in classify_frames(classifier, islice(frames, task.frames), most):
                times.append(result.stage_ns)
                if task.contact_sheet:
                    pick.offer(count, result.frame, result.name, result.labelled())
                count += 1
                # Printed last, so that a frame is counted even if Ctrl-C comes while it is printed.
                print(_frame_line(result, task), file=out, flush=True)
    except KeyboardInterrupt:
        status = 130
    finally:  # even when a camera fails, so that the results until then are not lost
        if count:
            _finish(task, pick, summary(classifier, times, count), out)
    return status


def closing_frames(task: Task) -> closing[Any]:
    """Return a task's frames as a context manager, which releases the device at the end of the block."""
    frames = read_frames(task.source, task.every, note_on_stderr)
    return closing(frames if hasattr(frames, "close") else (frame for frame in frames))


def _frame_line(result: Result, task: Task) -> str:
    shown = result.best[: task.top]
    if task.as_json:
        best = [{"index": index, "label": label, "score": score} for index, label, score in shown]
        stages = dict(zip(STAGES, (ns / 1e6 for ns in result.stage_ns)))
        return json.dumps({"type": "frame", "name": result.name, "top": best, "ms": stages})
    return f"{result.name}:  " + "  |  ".join(f"{label} {score * 100:.1f} %" for _, label, score in shown)


def _finish(task: Task, pick: EvenPick, facts: dict[str, Any], out: TextIO) -> None:
    """Save the contact sheet, then print the summary."""
    if task.contact_sheet:
        sheet = draw_contact_sheet(pick.tiles(), task.model.stem, one_line(facts))
        save_contact_sheet(sheet, task.contact_sheet)
        facts["contact_sheet"] = str(task.contact_sheet)
    print(json.dumps(facts) if task.as_json else table(facts), file=out, flush=True)
