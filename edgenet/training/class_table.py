"""The table of results per class, and its CSV file."""

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
    """One class's results on the validation photos.

    Attributes:
        name: the class.
        training_photos: the number of photos of this class in training.
        photos: the number of validation photos of this class.
        right: how many of these were classified correctly.
        recall: percent of the class's photos that were classified correctly; None if it has no photos.
        interval: the 95 % confidence interval of the recall; None if the class has no photos.
        precision: percent of the photos predicted as this class that belong to it; None if none was predicted.
        taken_for: the class that this class's photos were most often mistaken for; None if there was no mistake.
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
    """Return one row per class.

    Args:
        confusion: counts of photos by true class (rows) and predicted class (columns), int64 [classes, classes].
        names: the class names.
        training_photos: the number of training photos of each class.
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
    """Return a CSV with one line per class. Rates are percentages; a rate with divisor 0 is left empty."""
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
