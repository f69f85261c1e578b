"""The exponential moving average of the weights, which is more accurate than the weights of any one step."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def average_of(network: Network) -> Network:
    """A copy that will be the average, in evaluation mode; no gradients flow into it."""
    return copy.deepcopy(network).eval().requires_grad_(False)


def decay_at(decay: float, updates: int) -> float:
    """The decay after so many updates: min(decay, (1 + n) / (10 + n)).

    The first weights are forgotten soon that way (TensorFlow's `ExponentialMovingAverage` with `num_updates`).
    """
    return min(decay, (1 + updates) / (10 + updates))


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, decay: float, updates: int) -> None:
    """average = d average + (1 - d) network, for parameters and for the statistics of batch normalization.

    Args:
        updates: how many there were before this one.
    """
    share = 1 - decay_at(decay, updates)
    ours, theirs = average.state_dict(), network.state_dict()
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name], share)
        else:
            tensor.copy_(theirs[name])
