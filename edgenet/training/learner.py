"""What the steps of a training change: weights, their average, the optimizer's momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.training.adam import Adam, adapt
from edgenet.training.ema import average_of
from edgenet.training.recipe import Recipe
from edgenet.training.sgd import Descent, descend
from edgenet.training.start import head_name
from edgenet.training.student import Student
from edgenet.training.weight_decay import decay_groups
from edgenet.zoo.classifier import Classifier


@dataclass
class Learner:
    """A network that is being trained; steps change it in place.

    Attributes:
        network: in channels_last; a `Student` in quantization-aware training.
        average: of its weights.
        descent: how they change: by Adam for a `Student`, else by gradient descent.
        updates: how many steps there were.
    """

    network: Classifier | Student
    average: Classifier | Student
    descent: Descent | Adam
    updates: int = 0


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """The network with its weights in NHWC order, which makes convolutions faster on CPUs and GPUs alike."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def new_learner(network: Classifier | Student, recipe: Recipe, device: torch.device) -> Learner:
    """A learner on a device, before its first step."""
    if isinstance(network, Student):
        # The steps stay in the operators' own layouts: channels_last there would be another order.
        student = network.to(device)
        return Learner(student, average_of(student), Adam())
    network = channels_last(network.to(device))
    decay = dict.fromkeys(decay_groups(network).decaying, recipe.weight_decay)
    descent = Descent({name: decay.get(name, 0.0) for name, _ in network.named_parameters()})
    return Learner(network, average_of(network), descent)


def change(learner: Learner, rate: float) -> None:
    """One update of the weights by their gradients."""
    if isinstance(learner.descent, Adam):
        adapt(learner.network, learner.descent, rate, learner.updates)
    else:
        descend(learner.network, learner.descent, rate)


def set_training(network: nn.Module, frozen: bool) -> None:
    """Training mode; where frozen, only for the last linear layer: all before it stays as it is, its statistics too."""
    network.train().requires_grad_(not frozen)
    if frozen:
        head = head_name(network)
        network.get_submodule(head).requires_grad_(True)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def learner_tensors(learner: Learner) -> dict[str, Tensor]:
    """All that a learner is, by name."""
    tensors = {f"network.{n}": t for n, t in learner.network.state_dict().items()}
    tensors |= {f"average.{n}": t for n, t in learner.average.state_dict().items()}
    for kind, moments in _moments(learner.descent).items():
        tensors |= {f"{kind}.{n}": t for n, t in moments.items()}
    return tensors


def _moments(descent: Descent | Adam) -> dict[str, dict[str, Tensor]]:
    """What the optimizer remembers of each parameter, by the name that the state file has for it."""
    moments = {"momentum": descent.momentum}
    return moments | {"squares": descent.squares} if isinstance(descent, Adam) else moments


def restore(learner: Learner, tensors: dict[str, Tensor], updates: int) -> None:
    """Makes a new learner what `learner_tensors` was taken of.

    Raises:
        KeyError, RuntimeError: tensors of another network.
    """
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.average.load_state_dict(_part(tensors, "average."))
    parameters = dict(learner.network.named_parameters())
    for kind, moments in _moments(learner.descent).items():
        for name, moment in _part(tensors, f"{kind}.").items():
            # In the parameter's own memory layout: the kernels, and so the last bits, depend on it.
            moments[name] = torch.empty_like(parameters[name].detach()).copy_(moment)
    learner.updates = updates


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
