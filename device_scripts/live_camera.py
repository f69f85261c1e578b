"""The core of `camera.py`: it connects a source, a network and the outputs, and runs until it is stopped."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import cv2

from .frames import note_on_stderr
from .live_outputs import Destination, Wanted, opened_outputs
from .live_source import Told, live_source
from .model_file import open_model
from .runtime import Classifier, load_runtime
from .signals import ended_by_signals
from .stage_summary import KEPT_TIMES, summary, table
from .watching import Health, Watching, watch


@dataclass(frozen=True)
class LiveTask:
    """What to watch and where to show it; see the options of camera.py.

    Attributes:
        frames: stop after this many frames; None to go on until the source ends.
    """

    model: Path
    source: str
    threads: int
    watching: Watching
    frames: int | None
    wanted: Wanted


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
        told = Told(open_parts.enter_context(Health()), _nothing if quiet else note_on_stderr)
        to = Destination(out, told, task.source, _model_line(classifier))
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
