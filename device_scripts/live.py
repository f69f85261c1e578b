"""The live loop: a frame in, labels out, and where the time went."""

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

from .contact_sheet import SHEET_LABELS, EvenPick, check_sheet_path, draw_contact_sheet, save_contact_sheet
from .frames import Frame, note_on_stderr, read_frames
from .model_file import open_model
from .preprocess import RULE, CentreSquare
from .runtime import Classifier, load_runtime
from .sample_statistics import percentile
from .topk import top_k

STAGES = ("capture", "preprocess", "inference", "postprocess")
_KEPT_TIMES = 10_000  # a camera may run for days; the summary is over the latest frames


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
        frame: uint8 BGR [H,W,3]; valid until the next frame is asked for.
        best: (class index, label, score) from best to worst.
        stage_ns: duration of each of STAGES, nanoseconds.
    """

    name: str
    frame: np.ndarray
    best: tuple[tuple[int, str, float], ...]
    stage_ns: tuple[int, ...]

    def labelled(self) -> list[tuple[str, float]]:
        """(label, score) from best to worst."""
        return [(label, score) for _, label, score in self.best]


def classify_frames(classifier: Classifier, frames: Iterable[Frame], top: int) -> Iterator[Result]:
    """Classify frames one by one; each pixel is written straight into the interpreter's input tensor."""
    rule: CentreSquare | None = None
    iterator = iter(frames)
    while True:
        start = time.perf_counter_ns()
        item = next(iterator, None)
        captured = time.perf_counter_ns()
        if item is None:
            return
        name, frame = item
        if rule is None or rule.frame_shape != frame.shape[:2]:
            rule = CentreSquare(frame.shape[:2], classifier.size)
        rule.write(frame, classifier.input_view())
        prepared = time.perf_counter_ns()
        classifier.invoke()
        inferred = time.perf_counter_ns()
        best = tuple((i, classifier.labels[i], score) for i, score in top_k(classifier.scores(), top))
        done = time.perf_counter_ns()
        yield Result(
            name, frame, best, (captured - start, prepared - captured, inferred - prepared, done - inferred)
        )


def classify_source(task: Task, out: TextIO) -> int:
    """Classify a source and print every frame and the summary to `out`.

    Returns:
        0, or 130 after Ctrl-C, which is the usual way to end a camera: the summary and the contact sheet come first.

    Raises:
        EdgenetError: the model, the source or the contact sheet's path cannot be used.
    """
    if task.contact_sheet:
        check_sheet_path(task.contact_sheet)
    cv2.setNumThreads(1)  # the cores are the network's; a resize is too short to share
    classifier = Classifier(open_model(task.model), load_runtime(), task.threads)
    most = max(task.top, SHEET_LABELS) if task.contact_sheet else task.top
    pick = EvenPick()
    times: deque[tuple[int, ...]] = deque(maxlen=_KEPT_TIMES)
    count, status = 0, 0
    try:
        with closing_frames(task) as frames:
            for result in classify_frames(classifier, islice(frames, task.frames), most):
                times.append(result.stage_ns)
                if task.contact_sheet:
                    pick.offer(count, result.frame, result.name, result.labelled())
                count += 1
                # Last, so that what was printed is also counted when Ctrl-C comes while printing.
                print(_frame_line(result, task), file=out, flush=True)
    except KeyboardInterrupt:
        status = 130
    finally:  # also when a camera dies: what was seen until then is not lost
        if count:
            _finish(task, pick, summary(classifier, times, count), out)
    return status


def closing_frames(task: Task) -> closing[Any]:
    """The frames of a task, whose device is released on leaving the block."""
    frames = read_frames(task.source, task.every, note_on_stderr)
    return closing(frames if hasattr(frames, "close") else (frame for frame in frames))


def summary(classifier: Classifier, times: Iterable[tuple[int, ...]], count: int) -> dict[str, Any]:
    """Where the time went: of each stage the median (p50, ms) and its share of the sum of the four medians."""
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
        "preprocessing": RULE,
        "runtime": {"name": classifier.runtime.name, "version": classifier.runtime.version},
        "delegate": classifier.delegate.as_dict(),
        "threads": classifier.threads,
    }


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
        sheet = draw_contact_sheet(pick.tiles(), task.model.stem, _one_line(facts))
        save_contact_sheet(sheet, task.contact_sheet)
        facts["contact_sheet"] = str(task.contact_sheet)
    print(json.dumps(facts) if task.as_json else _table(facts), file=out, flush=True)


def _one_line(facts: dict[str, Any]) -> str:
    runtime, threads = facts["runtime"], facts["threads"]
    return (
        f"{facts['frames']} frame{'s' * (facts['frames'] != 1)}  ·  "
        f"inference {facts['stages']['inference']['p50_ms']:.2f} ms (p50)  ·  whole frame "
        f"{facts['sum_of_p50_ms']:.2f} ms  ·  {runtime['name']} {runtime['version']}, "
        f"{threads} thread{'s' * (threads != 1)}"
    )


def _table(facts: dict[str, Any]) -> str:
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
        f"{_one_line(facts).split('  ·  ')[-1]}; nodes taken by {delegate['name'] or 'a delegate'}: {taken}"
    )
    if "contact_sheet" in facts:
        lines.append(f"contact sheet: {facts['contact_sheet']}")
    return "\n".join(lines)
