"""Batch normalization for networks whose weights come with it folded in, so that they can be trained.

In such a network (see `edgenet.zoo.folded_weights`) batch normalization only adds a bias, as if every channel had the
mean 0 and the variance 1. A training normalizes by the batch's own mean and variance, which would change everything at
the first step. Here each batch normalization gets the statistics that its input has over some photos, and the factors
that undo them, so that the network computes the same as before, and a training starts from it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenet.zoo.checkpoint import LoadedNetwork


def is_folded(network: nn.Module) -> bool:
    """Return whether the batch normalization of a network has no statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return bool(norms) and not any(bool(norm.running_mean.any()) for norm in norms)  # type: ignore[union-attr]


def give_statistics(loaded: LoadedNetwork, pixels: NDArray[np.uint8]) -> None:
    """Give a folded network's batch normalization the statistics of some photos; its results stay the same.

    Args:
        loaded: the network, which is changed.
        pixels: photos, uint8 RGB [n, R, R, 3]; some dozens are enough.
    """
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def add(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        count = torch.tensor(x.numel() / x.shape[1])
        new = [x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count]
        sums[norm] = [a + b for a, b in zip(sums[norm], new, strict=True)] if norm in sums else new

    norms = [module for module in loaded.module.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    network = loaded.with_pixels().eval()
    with torch.no_grad():
        for photo in pixels:
            network(torch.from_numpy(photo).permute(2, 0, 1)[None].float())
    for hook in hooks:
        hook.remove()
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        _set_statistics(norm, mean, (squares / count - mean.square()).clamp(min=0))


@torch.no_grad()
def _set_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set mean and variance of the input, and the factor and offset with which the output stays the same."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    before = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - norm.running_mean * before
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(before * (norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(offset + norm.running_mean * before)
