"""The rows of the pipelines from a picture to its labels.

They run the same int8 file, except for the plain script, which runs our float file.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.camera import write_frames
from benchmarks.clients import ask
from benchmarks.comparing.judging import time_in_turns, with_accuracy, with_latencies
from benchmarks.comparing.making import Made
from benchmarks.comparing.peers import packages_mb
from benchmarks.comparing.rows import Row
from benchmarks.pipelines import MEDIAPIPE, OURS, PLAIN, Pair, frame_commands, mediapipe_python
from benchmarks.quantizing.inputs import JUDGED
from benchmarks.quantizing.judging import Judge, kept_logits

FRAMES = 20
PACKAGES = {
    OURS: ("ai-edge-litert", "numpy", "opencv-python"),
    MEDIAPIPE: ("mediapipe", "numpy"),
    PLAIN: ("ai-edge-litert", "numpy", "pillow"),
}


def pipeline_rows(made: Made, pair: Pair, judge: Judge) -> list[Row]:
    """Return a row for each pipeline, ours first."""
    mediapipe = mediapipe_python()
    rows = [
        _judged(
            _cost(made, name, mediapipe if name == MEDIAPIPE else Path(sys.executable)), pair, made, judge
        )
        for name in made.starts
    ]
    with TemporaryDirectory() as folder:
        commands = frame_commands(pair, write_frames(Path(folder)), mediapipe)
        return with_latencies(rows, time_in_turns(commands, FRAMES), OURS)


def _cost(made: Made, name: str, python: Path) -> Row:
    start = made.starts[name]
    size = round(packages_mb((python, PACKAGES[name])), 1)
    return Row(name, None, size, round(start.wall_s, 3), round(start.peak_mib, 1))


def _judged(row: Row, pair: Pair, made: Made, judge: Judge) -> Row:
    """Return the row with its accuracy on photos that already have the network's size."""
    if row.name == PLAIN:
        return with_accuracy(row, judge, judge.real)
    if row.name == OURS:
        return with_accuracy(row, judge, kept_logits(pair.int8, judge.images, made.network))
    answer = ask("mediapipe", pair.int8, made.network.photos / JUDGED)
    if isinstance(answer, str):
        return dataclasses.replace(row, error=answer)
    return with_accuracy(row, judge, answer.scores)
