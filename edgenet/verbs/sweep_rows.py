"""What a sweep found for each variant, and how it is kept: a row in `sweep.csv`, a `row.json` once it is whole."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from edgenet.accuracy.pareto import on_front
from edgenet.errors import EdgenetError
from edgenet.files import write_atomically

ROW_FILE = "row.json"


@dataclass(frozen=True)
class SweepRow:
    """One variant; everything in it was counted or measured.

    Attributes:
        mult_adds, parameters: as the papers count them, for the user's classes.
        bytes: of the int8 file.
        n: photos of the accuracies, none of which trained or calibrated.
        float_top1, int8_top1: percent of the same photos; `int8_low` and `int8_high` hold int8's with 95 %.
        latency_p50_ms: of one inference on `device`, with `threads` threads.
        latency_valid: whether that may be quoted; `latency_reasons` says why not.
        front: whether no other variant of the sweep is as fast and as accurate, and better in one of the two.
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
    latency_p50_ms: float
    latency_valid: bool
    latency_reasons: str
    device: str
    threads: int
    front: bool = False


def with_front(rows: Sequence[SweepRow]) -> tuple[SweepRow, ...]:
    """The rows, each told whether it is on the front of int8 accuracy against latency."""
    front = on_front([row.latency_p50_ms for row in rows], [row.int8_top1 for row in rows])
    return tuple(replace(row, front=is_on) for row, is_on in zip(rows, front, strict=True))


def rows_csv(rows: Sequence[SweepRow]) -> bytes:
    """A table with a header, a line for each row."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(SweepRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue().encode()


def write_row(folder: Path, row: SweepRow) -> None:
    """Keeps the row of a variant that is finished."""
    write_atomically(folder / ROW_FILE, (json.dumps(asdict(row), indent=1) + "\n").encode())


def read_row(folder: Path) -> SweepRow | None:
    """The row of a variant that was finished before; None where it was not.

    Raises:
        EdgenetError: the file is damaged.
    """
    path = folder / ROW_FILE
    if not path.is_file():
        return None
    try:
        return SweepRow(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise EdgenetError(
            f"{path} is damaged ({error})", f"remove it, and {folder.name} is measured again"
        ) from None
