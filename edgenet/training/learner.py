"""The learner: the weights in training, their moving average, and the optimizer that changes them at each step.

The optimizer is gradient descent with momentum or Adam. It is not one of torch's own, because the first step of those
imports torch's compiler. That takes seconds, as long as a short training. Like torch's, it uses torch's operations on
lists of tensors (`_foreach`): on a GPU these are a few kernels for all parameters together.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.training.qat import QatNetwork
from edgenet.training.recipe import Recipe
from edgenet.zoo.checkpoint import check_tensors
from edgenet.zoo.classifier import Classifier


@dataclass
class Learner:
    """A network in training. Each step changes it in place.

    Attributes:
        network: a `QatNetwork` in quantization-aware training, else a classifier in channels_last layout.
        average: a copy of the network that holds the moving average of its weights.
        optimizer: the state of the optimizer: Adam for a `QatNetwork`, else gradient optimizer with momentum.
        updates: the number of steps taken so far.
    """

    network: Classifier | QatNetwork
    average: Classifier | QatNetwork
    optimizer: SgdState | AdamState
    updates: int = 0


def new_learner(network: Classifier | QatNetwork, recipe: Recipe, device: torch.device) -> Learner:
    """Return a learner on the device, ready for its first step."""
    if isinstance(network, QatNetwork):
        # Its weights are in the layouts of its graph's operators, which channels_last would reorder.
        network = network.to(device)
        return Learner(network, average_of(network), AdamState())
    network = channels_last(network.to(device))
    decay = dict.fromkeys(decay_groups(network).decaying, recipe.weight_decay)
    optimizer = SgdState({name: decay.get(name, 0.0) for name, _ in network.named_parameters()})
    return Learner(network, average_of(network), optimizer)


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Return the network with its weights in NHWC order, which speeds up convolutions on both CPUs and GPUs."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def update_weights(learner: Learner, rate: float) -> None:
    """Update the weights once, with the gradients they hold.

    Args:
        learner: its network and optimizer are changed in place.
        rate: the learning rate.
    """
    if isinstance(learner.optimizer, AdamState):
        adam_step(learner.network, learner.optimizer, rate, learner.updates)
    else:
        sgd_step(learner.network, learner.optimizer, rate)


def set_training(network: nn.Module, frozen: bool) -> None:
    """Put the network into training mode.

    Args:
        network: the network.
        frozen: train only the last linear layer; the other weights and all batch normalization statistics stay fixed.
    """
    network.train().requires_grad_(not frozen)
    if frozen:
        head = head_name(network)
        network.get_submodule(head).requires_grad_(True)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def head_name(module: nn.Module) -> str:
    """Return the name of the last linear layer."""
    return [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]


def learner_tensors(learner: Learner) -> dict[str, Tensor]:
    """Return every tensor of a learner by name; `restore` is the inverse."""
    tensors = {f"network.{n}": t for n, t in learner.network.state_dict().items()}
    tensors |= {f"average.{n}": t for n, t in learner.average.state_dict().items()}
    for kind, moments in _moments(learner.optimizer).items():
        tensors |= {f"{kind}.{n}": t for n, t in moments.items()}
    return tensors


def restore(learner: Learner, tensors: dict[str, Tensor], updates: int) -> None:
    """Restore a new learner, in place, to the state that `learner_tensors` returned.

    Raises:
        EdgenetError: the tensors are not exactly those of such a learner, or have values that are not finite.
    """
    parameters = {name: parameter.detach() for name, parameter in learner.network.named_parameters()}
    moments = _moments(learner.optimizer)
    expected = learner_tensors(learner)
    for kind in moments:
        # A parameter that has not had a gradient yet has no moments.
        names = parameters.keys() & _part(tensors, f"{kind}.").keys()
        expected |= {f"{kind}.{name}": parameters[name] for name in names}
    _check_saved(expected, tensors)
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.average.load_state_dict(_part(tensors, "average."))
    for kind, kept in moments.items():
        for name, moment in _part(tensors, f"{kind}.").items():
            # The memory layout decides which kernel runs, and so the last bits: copy the parameter's layout.
            kept[name] = torch.empty_like(parameters[name]).copy_(moment)
    learner.updates = updates


def _check_saved(expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    mismatch, remedy = "the saved state does not fit the network that is trained", "start the training again"
    check_tensors(expected, tensors, mismatch, remedy)
    for name, tensor in tensors.items():
        if tensor.dtype != expected[name].dtype:
            raise EdgenetError(f"{mismatch}: {name} has the type {tensor.dtype}", remedy)
        if name.startswith("squares.") and bool((tensor < 0).any()):
            raise EdgenetError(f"{mismatch}: {name} has squares below 0", remedy)


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(optimizer: SgdState | AdamState) -> dict[str, dict[str, Tensor]]:
    """Return the optimizer's moments of each parameter, by the name of the moment in the state file."""
    moments = {"momentum": optimizer.momentum}
    return moments | {"squares": optimizer.squares} if isinstance(optimizer, AdamState) else moments


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
    averaged = [name for name, tensor in ours.items() if tensor.is_floating_point()]
    # One kernel for all tensors on a GPU; on a CPU it is a loop over them.
    torch._foreach_lerp_([ours[name] for name in averaged], [theirs[name] for name in averaged], share)
    for name in ours.keys() - set(averaged):
        ours[name].copy_(theirs[name])


def average_decay(decay: float, updates: int) -> float:
    """Return the decay of the average after n = `updates` updates: min(decay, (1 + n) / (10 + n)).

    The lower decay at the start lets the average forget the initial weights quickly. The formula is that of
    TensorFlow's `ExponentialMovingAverage` with `num_updates`.
    """
    return min(decay, (1 + updates) / (10 + updates))


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
    names, parameters, gradients = _with_gradient(network)
    if not names:
        return
    for decay in {sgd.weight_decay[name] for name in names} - {0.0}:
        places = [place for place, name in enumerate(names) if sgd.weight_decay[name] == decay]
        decayed = torch._foreach_add(
            [gradients[place] for place in places], [parameters[place] for place in places], alpha=decay
        )
        for place, gradient in zip(places, decayed, strict=True):
            gradients[place] = gradient
    momentum = _moments_of(sgd.momentum, names, parameters)
    torch._foreach_mul_(momentum, MOMENTUM)
    torch._foreach_add_(momentum, gradients)
    torch._foreach_sub_(parameters, torch._foreach_add(gradients, momentum, alpha=MOMENTUM), alpha=rate)


def _with_gradient(network: nn.Module) -> tuple[list[str], list[Tensor], list[Tensor]]:
    """Return the names, values and gradients of the parameters that have a gradient."""
    found = [(name, p, p.grad) for name, p in network.named_parameters() if p.grad is not None]
    return [name for name, _, _ in found], [p for _, p, _ in found], [gradient for _, _, gradient in found]


def _moments_of(moments: dict[str, Tensor], names: list[str], parameters: list[Tensor]) -> list[Tensor]:
    """Return the parameters' moments; those that are not there yet are made, as zeros."""
    for name, parameter in zip(names, parameters, strict=True):
        if name not in moments:
            moments[name] = torch.zeros_like(parameter)
    return [moments[name] for name in names]


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
    names, parameters, gradients = _with_gradient(network)
    if not names:
        return
    momentum, squares = (_moments_of(moments, names, parameters) for moments in (adam.momentum, adam.squares))
    torch._foreach_lerp_(momentum, gradients, 1 - FIRST_DECAY)
    torch._foreach_mul_(squares, SECOND_DECAY)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - SECOND_DECAY)
    divisors = torch._foreach_div(squares, second)
    torch._foreach_sqrt_(divisors)
    torch._foreach_add_(divisors, EPSILON)
    torch._foreach_addcdiv_(parameters, torch._foreach_div(momentum, first), divisors, value=-rate)


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
