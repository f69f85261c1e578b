"""Stochastic gradient descent with Nesterov's momentum.

torch's own optimizers import its compiler with their first step, which takes seconds: as long as a short training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

MOMENTUM = 0.9


@dataclass
class Descent:
    """What the steps remember.

    Attributes:
        weight_decay: of each parameter, by name.
        momentum: of each parameter that has had a gradient, by name.
    """

    weight_decay: Mapping[str, float]
    momentum: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def descend(network: nn.Module, descent: Descent, rate: float) -> None:
    """One step: g += decay w; m = 0.9 m + g; w -= rate (g + 0.9 m), as torch's SGD with `nesterov=True` has it.

    Parameters without a gradient stay as they are.
    """
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        if descent.weight_decay[name]:
            gradient = gradient.add(parameter, alpha=descent.weight_decay[name])
        if name not in descent.momentum:
            descent.momentum[name] = torch.zeros_like(parameter)
        momentum = descent.momentum[name].mul_(MOMENTUM).add_(gradient)
        parameter.sub_(gradient.add(momentum, alpha=MOMENTUM), alpha=rate)


def forget_gradients(network: nn.Module) -> None:
    """The next backward pass starts from nothing."""
    for parameter in network.parameters():
        parameter.grad = None
