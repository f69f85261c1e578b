"""What a sweep found for each variant, and how it is kept: a row in `sweep.csv`, and JSON in the variant's folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TypeVar

from edgenet.accuracy.pareto import on_front
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically
from edgenet.latency.measuring import Report

Kind = TypeVar("Kind", bound="Made")

MADE_FILE = "made.json"
ROW_FILE = "row.json"
LATENCY_FILE = "latency.json"


@dataclass(frozen=True)
class Made:
    """A variant that is trained, quantized and evaluated; everything in it was counted or measured.

    Attributes:
        mult_adds, parameters: as the papers count them, for the user's classes.
        bytes: of the int8 file.
        n: photos of the accuracies, none of which trained or calibrated.
        float_top1, int8_top1: percent of the same photos; `int8_low` and `int8_high` hold int8's with 95 %.
    """

    variant: str
    width: float
    resolution: int
    mult_adds: int
    parameters: int
    bytes: int
    n: int
    float_top1: float
    int8_top1: float
    int8_low: float
    int8_high: float


@dataclass(frozen=True)
class SweepRow(Made):
    """One variant, timed too.

    Attributes:
        latency_p50_ms: of one inference on `device`, with `threads` threads.
        latency_valid: whether that may be quoted; `latency_reasons` says why not.
        front: whether no other variant of the sweep is as fast and as accurate, and better in one of the two.
        target: what led to `device`, as the user gave it.
    """

    latency_p50_ms: float
    latency_valid: bool
    latency_reasons: str
    device: str
    threads: int
    front: bool = False
    target: str = "local"


def with_front(rows: Sequence[SweepRow]) -> tuple[SweepRow, ...]:
    """The rows, each told whether it is on the front of int8 accuracy against latency."""
    front = on_front([row.latency_p50_ms for row in rows], [row.int8_top1 for row in rows])
    return tuple(replace(row, front=is_on) for row, is_on in zip(rows, front, strict=True))


def with_accuracy(latency: Report, made: Made) -> Report:
    """A latency report of the variant's file, told its name and accuracy."""
    accuracy = {"data": "validation", "n": made.n, "float_top1": made.float_top1, "int8_top1": made.int8_top1}
    return {**latency, "model": {**latency["model"], "name": made.variant, "accuracy": accuracy}}


def rows_csv(rows: Sequence[SweepRow]) -> bytes:
    """A table with a header, a line for each row."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(SweepRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue().encode()


def keep(path: Path, found: Made) -> None:
    """Keeps what was found as JSON.

    Raises:
        EdgenetError: it cannot be written.
    """
    write_atomically(path, (json.dumps(asdict(found), indent=1) + "\n").encode())


def read_row(folder: Path) -> SweepRow | None:
    """The row of a variant that was finished before; None where it was not.

    Raises:
        EdgenetError: the file is damaged.
    """
    return _read(folder / ROW_FILE, SweepRow, "is measured again")


def read_made(folder: Path) -> Made | None:
    """What was trained before, whether it was timed or not; None where it was not.

    Raises:
        EdgenetError: the file is damaged.
    """
    return _read(folder / MADE_FILE, Made, "is quantized again")


def _read(path: Path, kind: type[Kind], again: str) -> Kind | None:
    if not path.is_file():
        return None
    try:
        return kind(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EdgenetError(
            f"{path} is damaged ({error})", f"remove it, and {path.parent.name} {again}"
        ) from None
