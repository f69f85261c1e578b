"""Adam (arXiv 1412.6980, algorithm 1), for parameters that are measured in steps of int8.

A step of one channel's weights is worth many times that of another's, and their gradients differ as much; Adam's
updates do not depend on the gradients' size, so one learning rate in steps serves all of them.
torch's own optimizers import its compiler with their first step, see `sgd`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-12
"""The decays of both moments; the smallest divisor, which only has to keep zero from dividing zero."""


@dataclass
class Adam:
    """What the steps remember.

    Attributes:
        momentum: the first moment of each parameter that has had a gradient, by name.
        squares: the second.
    """

    momentum: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def adapt(network: nn.Module, adam: Adam, rate: float, updates: int) -> None:
    """One step: w -= rate m' / sqrt(v'), with both moments freed of their bias towards zero.

    Args:
        rate: about how far a parameter goes whose gradients agree.
        updates: how many steps there were before.
    """
    first, second = 1 - FIRST ** (updates + 1), 1 - SECOND ** (updates + 1)
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        for moments in (adam.momentum, adam.squares):
            moments.setdefault(name, torch.zeros_like(parameter))
        momentum = adam.momentum[name].lerp_(gradient, 1 - FIRST)
        squares = adam.squares[name].mul_(SECOND).addcmul_(gradient, gradient, value=1 - SECOND)
        parameter.addcdiv_(momentum / first, (squares / second).sqrt_().add_(EPSILON), value=-rate)
