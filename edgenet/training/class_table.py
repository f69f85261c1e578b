"""How each class fared: a row for each, and the CSV of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy.intervals import Interval, wilson


@dataclass(frozen=True)
class ClassRow:
    """One class's figures on the validation photos.

    Attributes:
        training_photos: how many it was trained with.
        photos: how many it has there.
        right: of these, how many were called so.
        recall: percent of its photos that were called so; None without photos. `interval` holds it with 95 %.
        precision: percent of the photos called so that are of it; None where none was called so.
        taken_for: the class that its photos were most often wrongly called, None where none was.
    """

    name: str
    training_photos: int
    photos: int
    right: int
    recall: float | None
    interval: Interval | None
    precision: float | None
    taken_for: str | None


def class_rows(
    confusion: NDArray[np.int64], names: Sequence[str], training_photos: Sequence[int]
) -> tuple[ClassRow, ...]:
    """A row for every class.

    Args:
        confusion: photos of each class (rows) that were called each class (columns).
    """
    return tuple(_row(confusion, names, index, training_photos[index]) for index in range(len(names)))


def _row(confusion: NDArray[np.int64], names: Sequence[str], index: int, training_photos: int) -> ClassRow:
    photos, called = int(confusion[index].sum()), int(confusion[:, index].sum())
    right = int(confusion[index, index])
    wrong = confusion[index].copy()
    wrong[index] = 0
    return ClassRow(
        name=names[index],
        training_photos=training_photos,
        photos=photos,
        right=right,
        recall=100 * right / photos if photos else None,
        interval=wilson(right, photos) if photos else None,
        precision=100 * right / called if called else None,
        taken_for=names[int(wrong.argmax())] if wrong.any() else None,
    )


HEADINGS = (
    "class",
    "training_photos",
    "photos",
    "right",
    "recall",
    "recall_low",
    "recall_high",
    "precision",
    "taken_for",
)


def class_csv(rows: Sequence[ClassRow]) -> bytes:
    """A CSV with a line for every class; percents, empty where there is nothing to divide by."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADINGS)
    for row in rows:
        interval = (row.interval.low, row.interval.high) if row.interval else (None, None)
        percents = [_percent(value) for value in (row.recall, *interval, row.precision)]
        writer.writerow(
            [row.name, row.training_photos, row.photos, row.right, *percents, row.taken_for or ""]
        )
    return text.getvalue().encode()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
