"""The core of `classify.py`: it classifies every frame of a source, and prints the labels and the stages' times."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import cv2

from edgenet_device.classifier import ModelOptions
from edgenet_device.entry import ended_by_signals
from edgenet_device.foreign_text import LONGEST_LABEL, json_text, one_line, printable_lines
from edgenet_device.frames.source import Camera
from edgenet_device.live.drawing import (
    SHEET_LABELS,
    EvenPick,
    check_sheet_path,
    draw_contact_sheet,
    save_contact_sheet,
)
from edgenet_device.live.loop import (
    KEPT_TIMES,
    STAGES,
    FrameResult,
    LabelOptions,
    classify_frames,
    one_line_summary,
    summary,
    table,
)


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
    facts: ModelOptions = field(default_factory=ModelOptions)


def classify_source(task: Task, out: TextIO) -> int:
    """Classify a source and print every frame and the summary to `out`.

    Returns:
        0; or 130 after Ctrl-C, the usual way to end a camera, and 143 after SIGTERM. The summary and the
        contact sheet are made even then.

    Raises:
        EdgenetError: the model, the source or the contact sheet's path cannot be used.
    """
    if task.contact_sheet:
        check_sheet_path(task.contact_sheet)
    cv2.setNumThreads(1)  # leaves the cores to the network: a resize is too short to gain from threads
    pick = EvenPick()
    times: deque[tuple[int, ...]] = deque(maxlen=KEPT_TIMES)
    count = 0
    with ended_by_signals() as ended:
        try:
            classifier = task.facts.open(task.model, task.threads)
            with Camera(task.source, every_frame=True, every=task.every) as camera:
                for result in islice(classify_frames(classifier, camera, _labels(task)), task.frames):
                    times.append(result.stage_ns)
                    if task.contact_sheet:
                        pick.offer(count, result.pixels, result.name, [one[1:] for one in result.top])
                    count += 1
                    # Printed last, so that a frame is counted even if Ctrl-C comes while it is printed, and in
                    # one piece, so that its line then has its end.
                    out.write(_frame_line(result, task) + "\n")
                    out.flush()
        except KeyboardInterrupt:
            pass
        finally:  # even when a camera fails, so that the results until then are not lost
            if count:
                _finish(task, pick, summary(classifier, times, count), out)
    return ended.status


def _labels(task: Task) -> LabelOptions:
    """Return how to label: every frame by itself, and with the labels that the contact sheet needs."""
    most = max(task.top, SHEET_LABELS) if task.contact_sheet else task.top
    return LabelOptions(most, threshold=0.0, half_life_s=0.0)


def _frame_line(result: FrameResult, task: Task) -> str:
    shown = result.top[: task.top]
    if task.as_json:
        best = [{"index": index, "label": label, "score": score} for index, label, score in shown]
        stages = dict(zip(STAGES, (ns / 1e6 for ns in result.stage_ns)))
        return json_text({"type": "frame", "name": result.name, "top": best, "ms": stages})
    labels = (f"{one_line(label, LONGEST_LABEL)} {score * 100:.1f} %" for _, label, score in shown)
    return f"{one_line(result.name)}:  {'  |  '.join(labels)}"


def _finish(task: Task, pick: EvenPick, facts: dict[str, Any], out: TextIO) -> None:
    """Save the contact sheet, then print the summary."""
    if task.contact_sheet:
        sheet = draw_contact_sheet(pick.tiles(), task.model.stem, one_line_summary(facts))
        save_contact_sheet(sheet, task.contact_sheet)
        facts["contact_sheet"] = str(task.contact_sheet)
    out.write((json_text(facts) if task.as_json else printable_lines(table(facts))) + "\n")
    out.flush()
