"""A sweep's results per variant, stored as a row in `sweep.csv` and as JSON in the variant's folder."""

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
    """The counted and measured figures of a variant that is trained, quantized and evaluated.

    Attributes:
        width: width multiplier.
        resolution: side of the input picture, pixels.
        mult_adds, parameters: counted in the way the papers count, with the user's number of classes.
        bytes: size of the int8 file.
        n: number of photos that the accuracies were measured on; none was used for training or calibration.
        float_top1, int8_top1: top-1 accuracy on the same photos, percent; `int8_low` and `int8_high` are the
            ends of int8's 95 % confidence interval.
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
    """The figures of a variant that is also timed.

    Attributes:
        latency_p50_ms: median time of one inference on `device` with `threads` threads, milliseconds.
        latency_valid: whether the latency may be quoted; `latency_reasons` says why not.
        front: whether the variant is on the Pareto front: no other one is at least as fast and at least as
            accurate, and better in one of the two.
        target: the target that `device` was reached by, as the user gave it.
    """

    latency_p50_ms: float
    latency_valid: bool
    latency_reasons: str
    device: str
    threads: int
    front: bool = False
    target: str = "local"


def with_front(rows: Sequence[SweepRow]) -> tuple[SweepRow, ...]:
    """Return the rows with `front` set: whether each is on the Pareto front of int8 accuracy and latency."""
    front = on_front([row.latency_p50_ms for row in rows], [row.int8_top1 for row in rows])
    return tuple(replace(row, front=is_on) for row, is_on in zip(rows, front, strict=True))


def with_accuracy(latency: Report, made: Made) -> Report:
    """Return the latency report with the variant's name and accuracy added."""
    accuracy = {"data": "validation", "n": made.n, "float_top1": made.float_top1, "int8_top1": made.int8_top1}
    return {**latency, "model": {**latency["model"], "name": made.variant, "accuracy": accuracy}}


def rows_csv(rows: Sequence[SweepRow]) -> bytes:
    """Return the rows as CSV with a header line, one line per row."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(SweepRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue().encode()


def keep(path: Path, found: Made) -> None:
    """Write a variant's figures as JSON.

    Raises:
        EdgenetError: the file cannot be written.
    """
    write_atomically(path, (json.dumps(asdict(found), indent=1) + "\n").encode())


def read_row(folder: Path) -> SweepRow | None:
    """Return the row of a variant that an earlier run finished, or None.

    Raises:
        EdgenetError: the file is damaged.
    """
    return _read(folder / ROW_FILE, SweepRow, "is measured again")


def read_made(folder: Path) -> Made | None:
    """Return the figures of a variant that an earlier run trained, whether timed or not, or None.

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
