"""Judge every file in the runtime that it was made for, and time all of them in turns.

This module is imported only when all conversions are done, because the memory of this process would count towards the
peak memory of the processes that it starts.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import compare
from benchmarks.comparing.making import CALIBRATION, Made
from benchmarks.comparing.peers import ONNX_WRITER, OURS, Peer, packages_mb
from benchmarks.comparing.rows import Row
from benchmarks.normalizations import as_text
from benchmarks.processes import measure
from benchmarks.quantizing.conversions import Converted
from benchmarks.quantizing.inputs import JUDGED
from benchmarks.quantizing.judging import Judge, held_out, kept_logits
from benchmarks.tflite_files import operators
from benchmarks.waiting_clients import blocks_in_turns, one_core, ratio_of_blocks
from edgenet.errors import EdgenetError

# Several fresh processes, because the memory layout of a process changes its speed by a percent or two.
PROCESSES, BLOCKS, RUNS, WARM_UP = 3, 10, 20, 20
_LITERT_CLIENT = "benchmarks.comparing.litert_client"


def peer_rows(made: Made, judge: Judge) -> list[Row]:
    """Return a row for each peer, ours first."""
    rows = [_judged(judge, made, peer, converted) for peer, converted in made.files]
    commands = {
        peer.name: client_command(peer, converted.path, made)
        for (peer, converted), row in zip(made.files, rows, strict=True)
        if converted.path is not None and row.error is None
    }
    return with_latencies(rows, time_in_turns(commands, RUNS), OURS)


def with_accuracy(row: Row, judge: Judge, logits: NDArray[np.floating]) -> Row:
    """Return the row with the accuracy of the logits on the photos that were not used for calibration."""
    indices = held_out(judge.draws, CALIBRATION)
    figures = compare(judge.real[indices], logits[indices], judge.labels[indices])
    return dataclasses.replace(row, top1_drop=figures.drop, agreement=figures.agreement)


def time_in_turns(commands: Mapping[str, Sequence[object]], runs: int) -> dict[str, list[float]]:
    """Return the medians of all blocks (ms) by client; a block has `runs` runs."""
    medians: dict[str, list[float]] = {name: [] for name in commands}
    with one_core():
        for _ in range(PROCESSES):
            for name, values in blocks_in_turns(commands, BLOCKS, runs, WARM_UP).items():
                medians[name] += values
    return medians


def with_latencies(rows: Sequence[Row], medians: Mapping[str, Sequence[float]], ours: str) -> list[Row]:
    """Return the rows with their latencies, if there are any; ratios are to the row named `ours`."""
    return [
        dataclasses.replace(
            row,
            latency_ms=statistics.median(medians[row.name]),
            latency_ratio=ratio_of_blocks(medians[row.name], medians[ours]),
        )
        if row.name in medians
        else row
        for row in rows
    ]


def client_command(peer: Peer, file: Path, made: Made) -> list[str]:
    """Return the command of the client that runs a peer's file."""
    program = [str(peer.python), "-m", peer.client] if peer.client else [sys.executable, "-m", _LITERT_CLIENT]
    return [*program, str(file), str(made.network.photos / JUDGED), as_text(made.network.normalization)]


def _judged(judge: Judge, made: Made, peer: Peer, converted: Converted) -> Row:
    writer = [(Path(sys.executable), ONNX_WRITER)] if peer.from_onnx else []
    packages = packages_mb((peer.python, peer.packages), *writer)
    row = Row(peer.name, converted.error, round(packages, 1))
    if converted.path is None:
        return row
    row = dataclasses.replace(
        row,
        wall_s=round(converted.wall_s + (made.onnx.wall_s if peer.from_onnx else 0), 2),
        peak_mib=round(max(converted.peak_mib, made.onnx.peak_mib if peer.from_onnx else 0), 1),
        bytes=converted.path.stat().st_size,
    )
    try:
        if peer.client is None:
            logits, kinds = kept_logits(converted.path, judge.images, made.network), operators(converted.path)
        else:
            logits, kinds = _logits_by_client(client_command(peer, converted.path, made), converted.path)
    except (EdgenetError, ValueError, RuntimeError) as error:  # the latter two are LiteRT's
        return dataclasses.replace(row, error=str(error))
    transposes = sum(count for kind, count in kinds.items() if "transpose" in kind.lower())
    row = dataclasses.replace(row, operators=sum(kinds.values()), transposes=transposes)
    return with_accuracy(row, judge, logits)


def _logits_by_client(command: list[str], file: Path) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Return the logits of all photos and the counts of operators, from a client."""
    out = file.with_suffix(".judged.npz")
    measure([*command, "--judge", str(out)], file.with_suffix(".judged.log"))
    with np.load(out) as stored:
        return stored["logits"], json.loads(str(stored["operators"]))
