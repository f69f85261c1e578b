"""How a step changes the weights: gradient descent with momentum or Adam, weight decay, and the moving average.

torch's own optimizers are not used because their first step imports torch's compiler. That takes seconds, as long as a
short training.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

MOMENTUM = 0.9


@dataclass
class SgdState:
    """The settings and the state of stochastic gradient descent with Nesterov momentum.

    Attributes:
        weight_decay: the weight decay of each parameter, by parameter name.
        momentum: the momentum of each parameter that has had a gradient, by parameter name.
    """

    weight_decay: Mapping[str, float]
    momentum: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def sgd_step(network: nn.Module, sgd: SgdState, rate: float) -> None:
    """Take one step: g += decay w; m = 0.9 m + g; w -= rate (g + 0.9 m), as in torch's SGD with `nesterov=True`.

    Args:
        network: its parameters are changed in place; those without a gradient stay unchanged.
        sgd: its momentum is updated in place.
        rate: the learning rate.
    """
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        if sgd.weight_decay[name]:
            gradient = gradient.add(parameter, alpha=sgd.weight_decay[name])
        if name not in sgd.momentum:
            sgd.momentum[name] = torch.zeros_like(parameter)
        momentum = sgd.momentum[name].mul_(MOMENTUM).add_(gradient)
        parameter.sub_(gradient.add(momentum, alpha=MOMENTUM), alpha=rate)


FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-12
"""The decay rates of the two moments, and the term added to the divisor, which only has to prevent 0 / 0."""


@dataclass
class AdamState:
    """The state of Adam (arXiv 1412.6980, algorithm 1), for parameters that are measured in int8 quantization steps.

    One quantization step can be worth many times more in one channel than in another, and the gradients differ by as
    much. Adam's updates do not depend on the size of the gradients, so one learning rate, in quantization steps, serves
    all channels.

    Attributes:
        momentum: the first moment of each parameter that has had a gradient, by parameter name.
        squares: the second moment of the same parameters, by parameter name.
    """

    momentum: dict[str, Tensor] = field(default_factory=dict)
    squares: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def adam_step(network: nn.Module, adam: AdamState, rate: float, updates: int) -> None:
    """Take one step: w -= rate m' / (sqrt(v') + EPSILON), where m' and v' are the bias-corrected moments.

    Args:
        network: its parameters are changed in place; those without a gradient stay unchanged.
        adam: its moments are updated in place.
        rate: the learning rate: about how far a parameter moves if its gradients all agree.
        updates: the number of steps taken before this one.
    """
    first, second = 1 - FIRST_DECAY ** (updates + 1), 1 - SECOND_DECAY ** (updates + 1)
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        if gradient is None:
            continue
        for moments in (adam.momentum, adam.squares):
            moments.setdefault(name, torch.zeros_like(parameter))
        momentum = adam.momentum[name].lerp_(gradient, 1 - FIRST_DECAY)
        squares = adam.squares[name].mul_(SECOND_DECAY).addcmul_(gradient, gradient, value=1 - SECOND_DECAY)
        parameter.addcdiv_(momentum / first, (squares / second).sqrt_().add_(EPSILON), value=-rate)


def forget_gradients(network: nn.Module) -> None:
    """Clear all gradients, so that the next backward pass does not add to them."""
    for parameter in network.parameters():
        parameter.grad = None


def decay_groups(network: nn.Module) -> DecayGroups:
    """Group the parameters: weights of linear layers and of convolutions decay, except depthwise; others do not.

    "It was important to put very little or no weight decay (l2 regularization) on the depthwise filters since there are
    so few parameters in them" (arXiv 1704.04861, section 3.1).
    """
    decaying = {
        f"{name}.weight" if name else "weight" for name, module in network.named_modules() if _decays(module)
    }
    names = [name for name, _ in network.named_parameters()]
    return DecayGroups(
        tuple(name for name in names if name in decaying),
        tuple(name for name in names if name not in decaying),
    )


def _decays(module: nn.Module) -> bool:
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 or module.groups < module.in_channels
    return isinstance(module, nn.Linear)


@dataclass(frozen=True)
class DecayGroups:
    """The names of a network's parameters, in two groups.

    Attributes:
        decaying: the parameters with weight decay.
        free: the parameters without.
    """

    decaying: tuple[str, ...]
    free: tuple[str, ...]


Network = TypeVar("Network", bound=nn.Module)


def average_of(network: Network) -> Network:
    """Return a copy of the network to hold the exponential moving average of its weights.

    The average is more accurate than the weights after any single step. The copy is in evaluation mode and takes no
    gradients.
    """
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float, updates: int) -> None:
    """Update the average in place: average = d average + (1 - d) network, with d from `average_decay`.

    Parameters and batch normalization statistics are averaged; integer buffers are copied.

    Args:
        average: the network that holds the average.
        network: the network being trained.
        decay: the highest decay.
        updates: the number of updates before this one.
    """
    share = 1 - average_decay(decay, updates)
    ours, theirs = average.state_dict(), network.state_dict()
    for name, tensor in ours.items():
        if tensor.is_floating_point():
            tensor.lerp_(theirs[name], share)
        else:
            tensor.copy_(theirs[name])


def average_decay(decay: float, updates: int) -> float:
    """Return the decay of the average after n = `updates` updates: min(decay, (1 + n) / (10 + n)).

    The lower decay at the start lets the average forget the initial weights quickly. The formula is that of
    TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """
    return min(decay, (1 + updates) / (10 + updates))
