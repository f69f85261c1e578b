"""How often a network is right on photos that go the device's way: through `device_scripts/preprocess.py`."""

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
    """What a network says of photos.

    Attributes:
        labels: the class index of every photo, int64 [n].
        ranked: its best classes, the best first, int64 [n, up to 5]; equal scores by class index.
        loss: mean cross-entropy.
        skipped: (name, reason) of the photos that could not be read.
    """

    labels: NDArray[np.int64]
    ranked: NDArray[np.int64]
    loss: float
    skipped: tuple[tuple[str, str], ...]

    @property
    def right(self) -> int:
        """Photos whose best class is theirs."""
        return int((self.ranked[:, 0] == self.labels).sum())

    @property
    def right_of_five(self) -> int:
        """Photos whose class is among the best five."""
        return int((self.ranked == self.labels[:, None]).any(axis=1).sum())

    @property
    def top1(self) -> float:
        """Percent of the photos whose best class is theirs."""
        return 100 * self.right / len(self.labels)

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """How many photos of each class (rows) were called each class (columns), [classes, classes]."""
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
    """Runs a network in evaluation mode over labelled photos.

    Args:
        network: normalized RGB [n,3,size,size] to logits, in evaluation mode.
        limit: how many photos, evenly spread; None for all.

    Raises:
        EdgenetError: not one can be read.
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
    """float32 [n,classes] on the CPU."""
    pixels = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float()
    return network(pixels).float().cpu()
