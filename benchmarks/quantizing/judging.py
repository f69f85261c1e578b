"""Judge files: LiteRT runs each one on the photos that are not in its calibration set.

This module is imported only when all conversions are done, because the memory of this process would count towards the
peak memory of the processes that it starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import compare, highest_logit, integer_logits_of, logits_of
from benchmarks.quantizing.conversions import Converted
from benchmarks.quantizing.inputs import JUDGED, STEP, draw_name
from benchmarks.quantizing.networks import Network
from benchmarks.quantizing.rows import IntegerCheck, Row
from benchmarks.tflite_files import operators
from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.quantize.integer import run_integer
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.to_graph import quantized_graph

INTEGER_PHOTOS = 20


@dataclass(frozen=True, eq=False)
class Judge:
    """The photos with their labels, and the float network's logits on them.

    Attributes:
        images: uint8 RGB [n, H, W, 3].
        labels: index of the right output of every photo [n].
        real: the float file's logits [n, N].
        draws: the calibration draw that each photo is in [n]; -1 for photos that only judge.
    """

    network: Network
    images: NDArray[np.uint8]
    labels: NDArray[np.intp]
    real: NDArray[np.float32]
    draws: NDArray[np.intp]


def open_judge(network: Network, float_file: Path) -> Judge:
    """Run the float file on all photos of the network that can judge."""
    with np.load(network.photos / JUDGED) as stored:
        images, classes, draws = stored["images"], stored["labels"], stored["draws"]
    real = kept_logits(float_file, images, network)
    return Judge(network, images, classes.astype(np.intp) + network.first_class, real, draws)


def held_out(draws: NDArray[np.intp], photos: str) -> list[int]:
    """Return the indices of the photos that judge a calibration set.

    A draw is judged on all photos that are not in it, any other set on all that are not in the first draw.

    Args:
        draws: the draw that each photo is in [n].
        photos: name of the calibration set.
    """
    numbers = {draw_name(draw): draw for draw in range(STEP)}
    return np.flatnonzero(draws != numbers.get(photos, 0)).tolist()


def judge_file(judge: Judge, converted: Converted, check_integers: bool) -> Row:
    """Return the row of one file; it has no figures if there is no file or LiteRT cannot run it."""
    row = Row(
        network=converted.network,
        converter=converted.converter,
        photos=converted.photos,
        error=converted.error,
        figures=None,
        wall_s=round(converted.wall_s, 2),
        peak_mib=round(converted.peak_mib, 1),
        bytes=0,
        operators=0,
        repeatable=converted.repeatable,
    )
    if converted.path is None:
        return row
    try:
        return _judged(judge, row, converted.path, check_integers)
    except (EdgenetError, ValueError, RuntimeError) as error:  # the latter two are LiteRT's
        return dataclasses.replace(row, error=str(error))


def _judged(judge: Judge, row: Row, path: Path, check_integers: bool) -> Row:
    indices = held_out(judge.draws, row.photos)
    logits = kept_logits(path, judge.images, judge.network)
    figures = compare(judge.real[indices], logits[indices], judge.labels[indices], highest_logit(path))
    return dataclasses.replace(
        row,
        figures=dataclasses.asdict(figures),
        bytes=path.stat().st_size,
        operators=sum(operators(path).values()),
        integer=check_integer_reading(judge, path, indices) if check_integers else None,
    )


def kept_logits(path: Path, images: NDArray[np.uint8], network: Network) -> NDArray[np.float32]:
    """Return a file's logits on all photos; they are kept beside it, so that a continued run need not repeat them."""
    kept, digest = path.with_suffix(".logits.npz"), sha256(path)
    if kept.is_file():
        with np.load(kept) as stored:
            if str(stored["tflite"]) == digest:
                return stored["logits"]
    logits = logits_of(path, images, network.normalization)
    np.savez(kept, tflite=digest, logits=logits)
    return logits


def check_integer_reading(judge: Judge, path: Path, indices: Sequence[int]) -> IntegerCheck:
    """Compare edgenet's integer arithmetic with LiteRT for one file, on photos spread over `indices`."""
    chosen = judge.images[[indices[i] for i in evenly(len(indices), INTEGER_PHOTOS)]]
    run = integer_logits_of(path, chosen, judge.network.normalization).astype(np.int32)
    try:
        read = run_integer(quantized_graph(read_tflite(path.read_bytes(), str(path))), chosen)
    except EdgenetError as error:
        return IntegerCheck(len(chosen), run.size, run.size, 0, str(error))
    steps = np.abs(run - read.astype(np.int32))
    return IntegerCheck(len(chosen), run.size, int((steps > 0).sum()), int(steps.max()))
