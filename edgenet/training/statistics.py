"""The statistics of batch normalization for averaged weights: measured anew, on photos as the device sees them.

An average of running statistics belongs to no weights that there ever were, least of all to the averaged ones
(arXiv 1803.05407, section 3.2); after few steps the running ones are also far behind.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from device_scripts.preprocess import prepare
from edgenet.training.loader import Share
from edgenet.training.photos import TrainingPhotos
from edgenet.training.processes import sum_over
from edgenet.training.student import Student
from edgenet.zoo.classifier import Classifier

PHOTOS = 512
BATCH = 64


@torch.no_grad()
def measure_statistics(
    network: Classifier | Student, photos: TrainingPhotos, order: np.ndarray, resolution: int, share: Share
) -> None:
    """Sets means and variances of batch normalization to those over some photos; every process takes its share.

    Args:
        network: in evaluation mode, which it is afterwards too.
        order: indices of the photos; the first 512 are used.
        resolution: of the pictures, pixels.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return
    before = [(norm.momentum, _counter(norm).clone()) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over all batches
        norm.train()
    device = next(network.parameters()).device
    for pixels in _pictures(photos, order[:PHOTOS][share.rows], resolution):
        network(network.normalization(pixels.to(device).permute(0, 3, 1, 2).float()))
    for norm, (momentum, tracked) in zip(norms, before, strict=True):
        norm.momentum = momentum
        _counter(norm).copy_(tracked)
        norm.eval()
    _average(norms, share)


def _counter(norm: nn.BatchNorm2d) -> torch.Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked


def _pictures(photos: TrainingPhotos, indices: np.ndarray, resolution: int) -> Iterator[torch.Tensor]:
    """uint8 RGB [n,resolution,resolution,3], batches of nearly equal size."""
    for part in np.array_split(indices, -(-len(indices) // BATCH)):
        yield torch.from_numpy(np.concatenate([prepare(photos.pixels(int(i)), resolution) for i in part]))


def _average(norms: list[nn.BatchNorm2d], share: Share) -> None:
    tensors = [t for norm in norms for t in (norm.running_mean, norm.running_var) if t is not None]
    for tensor in tensors:
        tensor /= share.processes
    sum_over(tensors, share)
