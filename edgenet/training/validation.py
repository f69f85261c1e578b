"""Validation: the accuracy of a network on photos prepared as on the device, by `device_scripts/preprocess.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from numpy.typing import NDArray
from torch import nn

from edgenet.data import Loaded, PhotoSet, load_batches
from edgenet.zoo.normalization import Normalization, PixelNetwork

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


def _logits(network: nn.Module, batch: Loaded, device: torch.device) -> torch.Tensor:
    """Return the logits, float32 [n,classes], on the CPU."""
    pixels = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
    return network(pixels).float().cpu()
