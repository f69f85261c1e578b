"""The training log: one row of figures per epoch, and its CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class EpochRow:
    """One epoch's figures.

    Attributes:
        epoch: the epoch, from 1.
        resolution: the side of the training pictures, pixels.
        learning_rate: the learning rate of the epoch's last step.
        train_loss: the training loss, as it was optimized, averaged over the photos.
        train_top1: top-1 accuracy on the augmented training photos, percent, with the weights of each step.
        val_loss: mean cross-entropy on the validation photos, with the averaged weights.
        val_top1: top-1 accuracy on the validation photos, percent, with the averaged weights.
        val_photos: the number of validation photos used.
        photos: the number of training photos shown.
        photos_per_s: training photos per second of waiting and computing.
        waiting_s: seconds in which the network waited for photos.
        computing_s: seconds of forward pass, backward pass and update.
        validating_s: seconds of validation.
    """

    epoch: int
    resolution: int
    learning_rate: float
    train_loss: float
    train_top1: float
    val_loss: float
    val_top1: float
    val_photos: int
    photos: int
    photos_per_s: float
    waiting_s: float
    computing_s: float
    validating_s: float


def log_csv(rows: Sequence[EpochRow]) -> bytes:
    """Return a CSV with one line per epoch (RFC 4180, except that lines end with a line feed)."""
    names = [field.name for field in fields(EpochRow)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_short(getattr(row, name)) for name in names])
    return text.getvalue().encode()


def _short(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
