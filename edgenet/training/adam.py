"""Adam (arXiv 1412.6980, algorithm 1), for parameters that are measured in int8 quantization steps.

One quantization step can be worth many times more in one channel than in another, and the gradients differ by as
much. Adam's updates do not depend on the size of the gradients, so one learning rate, in steps, serves all channels.
torch's own Adam is not used because its first step imports torch's compiler; see `sgd`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-12
"""The decay rates of the two moments, and the term added to the divisor, which only has to prevent 0 / 0."""


@dataclass
class Adam:
    """The optimizer's state, which each step updates.

    Attributes:
        momentum: the first moment of each parameter that has had a gradient, by parameter name.
        squares: the second moment of the same parameters, by parameter name.
    """

    momentum: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def adapt(network: nn.Module, adam: Adam, rate: float, updates: int) -> None:
    """Take one step: w -= rate m' / (sqrt(v') + EPSILON), where m' and v' are the bias-corrected moments.

    Args:
        network: its parameters are changed in place; those without a gradient stay unchanged.
        adam: its moments are updated in place.
        rate: the learning rate: about how far a parameter moves if its gradients all agree.
        updates: the number of steps taken before this one.
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
