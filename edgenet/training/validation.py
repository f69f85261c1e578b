"""Validation: the accuracy of a network on photos prepared as on the device, by `device_scripts/preprocess.py`."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from numpy.typing import NDArray
from torch import nn

from edgenet.accuracy import Interval, wilson
from edgenet.data.loading import PreparedPhotos, load_batches
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.zoo.classifier import Normalization, PixelNetwork

TOP = 5


@dataclass(frozen=True)
class Validation:
    """A network's predictions on labelled photos.

    Attributes:
        labels: the class index of every photo, int64 [n].
        ranked: the best classes of every photo, best first, int64 [n, up to 5]; ties are ordered by class index.
        loss: the mean cross-entropy.
        skipped: (name, reason) of the photos that could not be read.
    """

    labels: NDArray[np.int64]
    ranked: NDArray[np.int64]
    loss: float
    skipped: tuple[tuple[str, str], ...]

    @property
    def right(self) -> int:
        """The number of photos whose best class is right."""
        return int((self.ranked[:, 0] == self.labels).sum())

    @property
    def right_of_five(self) -> int:
        """The number of photos whose class is among the best five."""
        return int((self.ranked == self.labels[:, None]).any(axis=1).sum())

    @property
    def top1(self) -> float:
        """The percentage of photos whose best class is right."""
        return 100 * self.right / len(self.labels)

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """Return the counts of photos by true class (rows) and predicted class (columns), int64 [classes, classes]."""
        counts = np.zeros((classes, classes), np.int64)
        np.add.at(counts, (self.labels, self.ranked[:, 0]), 1)
        return counts


@torch.no_grad()
def validate(
    network: nn.Module,
    normalization: Normalization,
    photos: PhotoSet,
    resolution: int,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Validation:
    """Run a network over labelled photos.

    Args:
        network: a network from normalized RGB [n,3,size,size] to logits [n,classes], in evaluation mode.
        normalization: the normalization that the network expects.
        photos: the labelled photos.
        resolution: the side of the network's input, pixels.
        limit: the number of photos to use, evenly spread; None uses all.
        progress: called with the number of photos done and the number of all photos.

    Raises:
        EdgenetError: none of the photos can be read.
    """
    device = next(network.parameters()).device
    whole = PixelNetwork(network, normalization).to(device)
    labels: list[int] = []
    ranked: list[NDArray[np.int64]] = []
    loss = 0.0
    skipped: list[tuple[str, str]] = []
    for batch in load_batches(photos, resolution, limit=limit, progress=progress):
        skipped += batch.skipped
        if not len(batch):
            continue
        logits = _logits(whole, batch, device)
        truth = [label for label in batch.labels if label is not None]
        loss += float(F.cross_entropy(logits, torch.tensor(truth), reduction="sum"))
        labels += truth
        ranked.append(np.argsort(-logits.numpy(), axis=1, kind="stable")[:, :TOP])
    return Validation(np.array(labels), np.concatenate(ranked), loss / len(labels), tuple(skipped))


def _logits(network: nn.Module, batch: PreparedPhotos, device: torch.device) -> torch.Tensor:
    """Return the logits, float32 [n,classes], on the CPU."""
    pixels = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
    return network(pixels).float().cpu()


# ==== edgenet.training.classes
# Checks of the number of photos per class: errors for too few, a warning for very unequal classes.

IMBALANCE_RATIO = 3.0
"""A training warns if the largest class has at least this many times the photos of the smallest."""


def photo_counts(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """Return the number of photos of each class.

    Args:
        labels: the class index of every photo, int64 [n].
        classes: the number of classes.
    """
    return tuple(int(n) for n in np.bincount(labels, minlength=classes))


def check_counts(counts: Sequence[int], names: Sequence[str], unreadable: Sequence[str], least: int) -> None:
    """Check that every class has enough photos.

    Args:
        counts: the number of readable photos of each class.
        names: the class names, which are also the names of the folders.
        unreadable: the names of the photos that could not be read.
        least: the number of photos that each class needs.

    Raises:
        EdgenetError: a class has fewer than `least` photos.
    """
    for count, name in zip(counts, names, strict=True):
        if count < least:
            lost = sum(photo.startswith(f"{name}/") for photo in unreadable)
            found = "has no photo" if count == 0 else f"has only {count} photo{'s' * (count != 1)}"
            because = f" that can be read ({lost} cannot)" if lost else ""
            why = "one to train with and one to validate with" if least == 2 else "to train with"
            raise EdgenetError(
                f"the class {name} {found}{because}",
                f"a class needs at least {least}, {why}; a hundred is a good beginning",
            )


def imbalance(counts: Sequence[int], names: Sequence[str], balanced: bool) -> str | None:
    """Return a warning if the class sizes are very unequal (see `UNEQUAL`), else None.

    Args:
        counts: the number of photos of each class.
        names: the class names.
        balanced: whether the training shows every class equally often.
    """
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] < IMBALANCE_RATIO * counts[least]:
        return None
    found = (
        f"the classes are unequal: {counts[most]} photos of {names[most]}, {counts[least]} of {names[least]}"
    )
    if balanced:
        return f"{found}; every class is shown equally often"
    return f"{found}; the network will favour the large ones (--balance shows every class equally often)"


# ==== edgenet.training.class_table
# The table of results per class, and its CSV file.


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
