"""Adam (arXiv 1412.6980, algorithm 1), for parameters that are measured in int8 quantization steps.

One quantization step can be worth many times more in one channel than in another, and the gradients differ by as
much. Adam's updates do not depend on the size of the gradients, so one learning rate, in steps, serves all channels.
torch's own Adam is not used because its first step imports torch's compiler; see `sgd`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.training.recipe import Recipe

FIRST, SECOND, EPSILON = 0.9, 0.999, 1e-12
"""The decay rates of the two moments, and the term added to the divisor, which only has to prevent 0 / 0."""


@dataclass
class AdamState:
    """The optimizer's state, which each step updates.

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


# ==== edgenet.training.sgd
# Stochastic gradient descent with Nesterov momentum.
#
# torch's own optimizers are not used because their first step imports torch's compiler. That takes seconds,
# as long as
# a short training.

MOMENTUM = 0.9


@dataclass
class SgdState:
    """The optimizer's settings and state.

    Attributes:
        weight_decay: the weight decay of each parameter, by parameter name.
        momentum: the momentum of each parameter that has had a gradient, by parameter name.
    """

    weight_decay: Mapping[str, float]
    momentum: dict[str, Tensor] = field(default_factory=dict)


@torch.no_grad()
def sgd_step(network: nn.Module, descent: SgdState, rate: float) -> None:
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


# ==== edgenet.training.ema
# The exponential moving average of the weights; it is more accurate than the weights after any single step.

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


# ==== edgenet.training.weight_decay
# Decides which parameters have weight decay: all but depthwise filters, batch normalization and biases.
#
# "It was important to put very little or no weight decay (l2 regularization) on the depthwise filters since
# there are so
# few parameters in them" (arXiv 1704.04861, section 3.1).


@dataclass(frozen=True)
class DecayGroups:
    """The names of a network's parameters, in two groups.

    Attributes:
        decaying: the parameters with weight decay.
        free: the parameters without.
    """

    decaying: tuple[str, ...]
    free: tuple[str, ...]


def decay_groups(network: nn.Module) -> DecayGroups:
    """Group the parameters: weights of linear layers and of convolutions decay, except depthwise; others do not."""
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


# ==== edgenet.training.schedule
# The learning rate of each step and the resolution of each epoch.

STAGES = ((0.4, 0.5), (0.7, 0.75))
"""(end, scale) pairs: until the share `end` of the epochs, the resolution is multiplied by `scale`; later by 1."""
MULTIPLE_OF = 16
LEAST_RESOLUTION = 32


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    In the frozen epochs it is the highest rate. Afterwards it rises linearly from 0 over `warmup_epochs` and then
    falls to 0 along half a cosine (arXiv 1608.03983, equation 5, without restarts).

    Args:
        recipe: the training recipe.
        step: the step, counted from 0 over the whole training.
        steps: the number of steps in an epoch.
    """
    thawed = step - recipe.freeze_epochs * steps
    if thawed < 0:
        return recipe.learning_rate
    total = (recipe.epochs - recipe.freeze_epochs) * steps
    # A warm-up over more than half of the training would leave too little time at higher rates.
    warmup = min(recipe.warmup_epochs * steps, total / 2)
    if thawed < warmup:
        return recipe.learning_rate * (thawed + 1) / (warmup + 1)
    progress = (thawed - warmup) / max(total - warmup, 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2


def resolution_in(recipe: Recipe, epoch: int, resolution: int) -> int:
    """Return the side of an epoch's training pictures, pixels.

    Early epochs can use smaller pictures, from which a network learns most of what it needs in less time (progressive
    learning, arXiv 2104.00298, section 4). The smaller sides are multiples of 16 and at least 32.

    Args:
        recipe: the training recipe.
        epoch: the epoch, from 0.
        resolution: the full resolution, pixels; the result is never larger.
    """
    share = next((part for until, part in STAGES if epoch < int(until * recipe.epochs)), 1.0)
    if not recipe.progressive or share == 1:
        return resolution
    smaller = round(share * resolution / MULTIPLE_OF) * MULTIPLE_OF
    return min(max(smaller, LEAST_RESOLUTION), resolution)
