"""Measures the batch normalization statistics of the averaged weights anew, on photos prepared as on the device.

Averaged running statistics do not fit the averaged weights (arXiv 1803.05407, section 3.2). After only a few steps they
also lag far behind.
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
    """Set the means and variances of all batch normalization layers to those over some photos.

    Every process measures its share of the photos, and the results are averaged over the processes.

    Args:
        network: the network, in evaluation mode; it is changed in place and is in evaluation mode afterwards.
        photos: the training photos.
        order: indices of the photos; the first 512 are used.
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
    """Yield the photos in batches of nearly equal size, uint8 RGB [n,resolution,resolution,3]."""
    for part in np.array_split(indices, -(-len(indices) // BATCH)):
        yield torch.from_numpy(np.concatenate([prepare(photos.pixels(int(i)), resolution) for i in part]))


def _average(norms: list[nn.BatchNorm2d], share: Share) -> None:
    tensors = [t for norm in norms for t in (norm.running_mean, norm.running_var) if t is not None]
    for tensor in tensors:
        tensor /= share.processes
    sum_over(tensors, share)
