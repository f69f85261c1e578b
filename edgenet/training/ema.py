"""The exponential moving average of the weights; it is more accurate than the weights after any single step."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def average_of(network: Network) -> Network:
    """Return a copy of the network to hold the average. It is in evaluation mode and takes no gradients."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def decay_at(decay: float, updates: int) -> float:
    """Return the decay to use after n = `updates` updates: min(decay, (1 + n) / (10 + n)).

    The lower decay at the start lets the average forget the initial weights quickly. The formula is that of
    TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """
    return min(decay, (1 + updates) / (10 + updates))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float, updates: int) -> None:
    """Update the average in place: average = d average + (1 - d) network, with d from `decay_at`.

    Parameters and batch normalization statistics are averaged; integer buffers are copied.

    Args:
        average: the network that holds the average.
        network: the network being trained.
        decay: the highest decay.
        updates: the number of updates before this one.
    """
    share = 1 - decay_at(decay, updates)
    ours, theirs = average.state_dict(), network.state_dict()
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name], share)
        else:
            tensor.copy_(theirs[name])
