"""Stochastic gradient descent with Nesterov momentum.

torch's own optimizers are not used because their first step imports torch's compiler. That takes seconds, as long as
a short training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

MOMENTUM = 0.9


@dataclass
class Descent:
    """The optimizer's settings and state.

    Attributes:
        weight_decay: the weight decay of each parameter, by parameter name.
        momentum: the momentum of each parameter that has had a gradient, by parameter name.
    """

    weight_decay: Mapping[str, float]
    momentum: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def descend(network: nn.Module, descent: Descent, rate: float) -> None:
    """Take one step: g += decay w; m = 0.9 m + g; w -= rate (g + 0.9 m), as in torch's SGD with `nesterov=True`.

    Args:
        network: its parameters are changed in place; those without a gradient stay unchanged.
        descent: its momentum is updated in place.
        rate: the learning rate.
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
    """Clear all gradients, so that the next backward pass does not add to them."""
    for parameter in network.parameters():
        parameter.grad = None
