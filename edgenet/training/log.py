"""What is known of every epoch, and the CSV of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class EpochRow:
    """One epoch's figures.

    Attributes:
        epoch: from 1 on.
        resolution: of the training pictures, pixels.
        learning_rate: at the epoch's last step.
        train_loss: mean over the photos, as it was optimized.
        train_top1: percent right among the augmented photos, of the weights themselves.
        val_loss: mean cross-entropy of the averaged weights; None without photos that can be read.
        val_top1: percent right of the averaged weights.
        val_photos: how many of the validation part were used.
        photos: how many were trained with.
        photos_per_s: over waiting and computing.
        waiting_s: seconds in which the network waited for photos.
        computing_s: seconds of forward, backward and update.
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
    """A CSV with a line for every epoch (RFC 4180, but for the line ends)."""
    names = [field.name for field in fields(EpochRow)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_short(getattr(row, name)) for name in names])
    return text.getvalue().encode()


def _short(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
