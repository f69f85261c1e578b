"""Validation: the accuracy of a network on photos prepared as on the device, in all and class by class.

The batch normalization statistics of averaged weights are measured anew before.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray
from torch import nn

from edgenet.accuracy import Interval, wilson
from edgenet.data.loading import PreparedPhotos, load_batches
from edgenet.data.photos import PhotoSet
from edgenet.progress import StageProgress
from edgenet.training.photos import TrainingPhotos
from edgenet.training.processes import ProcessShare, sum_over
from edgenet.training.qat import QatNetwork
from edgenet.zoo.classifier import Classifier, Normalization, PixelNetwork

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
    progress: StageProgress | None = None,
) -> Validation:
    """Run a network over labelled photos.

    Args:
        network: a network from normalized RGB [n,3,size,size] to logits [n,classes], in evaluation mode.
        normalization: the normalization that the network expects.
        photos: the labelled photos.
        resolution: the side of the network's input, pixels.
        limit: the number of photos to use, evenly spread; None uses all.
        progress: called after every batch, with the numbers of photos.

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


STATISTICS_PHOTOS = 512
STATISTICS_BATCH = 64


@torch.no_grad()
def measure_statistics(
    network: Classifier | QatNetwork,
    photos: TrainingPhotos,
    order: np.ndarray,
    resolution: int,
    share: ProcessShare,
) -> None:
    """Set the means and variances of all batch normalization layers to those over some photos.

    The photos are prepared as on the device. Statistics that were averaged like the weights would not fit the averaged
    weights (arXiv 1803.05407, section 3.2), and after only a few steps they would also lag far behind.

    Every process measures its share of the photos, and the results are averaged over the processes.

    Args:
        network: the network, in evaluation mode; it is changed in place and is in evaluation mode afterwards.
        photos: the training photos.
        order: indices of the photos; the first `STATISTICS_PHOTOS` are used.
        resolution: the side of the pictures, pixels.
        share: this process's share of the photos.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    before = [(norm.momentum, _counter(norm).clone()) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # None makes torch average over all batches equally
        norm.train()
    device = next(network.parameters()).device
    for pixels in _pictures(photos, order[:STATISTICS_PHOTOS][share.rows], resolution):
        network(network.normalization(pixels.to(device).permute(0, 3, 1, 2).float()))
    for norm, (momentum, tracked) in zip(norms, before, strict=True):
        norm.momentum = momentum
        _counter(norm).copy_(tracked)
        norm.eval()
    _average(norms, share)


def _pictures(photos: TrainingPhotos, indices: np.ndarray, resolution: int) -> Iterator[torch.Tensor]:
    """Yield the photos in batches of nearly equal size, uint8 RGB [n,resolution,resolution,3]."""
    for part in np.array_split(indices, -(-len(indices) // STATISTICS_BATCH)):
        yield torch.from_numpy(np.concatenate([prepare(photos.pixels(int(i)), resolution) for i in part]))


def _counter(norm: nn.BatchNorm2d) -> torch.Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked


def _average(norms: list[nn.BatchNorm2d], share: ProcessShare) -> None:
    tensors = [t for norm in norms for t in (norm.running_mean, norm.running_var) if t is not None]
    for tensor in tensors:
        tensor /= share.processes
    sum_over(tensors, share)


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
    photos, predicted = int(confusion[index].sum()), int(confusion[:, index].sum())
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
        precision=100 * right / predicted if predicted else None,
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
