"""What the steps of a training change: weights, their average, the optimizer's momentum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.training.ema import average_of
from edgenet.training.recipe import Recipe
from edgenet.training.sgd import Descent
from edgenet.training.start import head_name
from edgenet.training.weight_decay import decay_groups
from edgenet.zoo.classifier import Classifier


@dataclass
class Learner:
    """A network that is being trained; steps change it in place.

    Attributes:
        network: in channels_last.
        average: of its weights.
        updates: how many steps there were.
    """

    network: Classifier
    average: Classifier
    descent: Descent
    updates: int = 0


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """The network with its weights in NHWC order, which makes convolutions faster on CPUs and GPUs alike."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def new_learner(network: Classifier, recipe: Recipe, device: torch.device) -> Learner:
    """A learner on a device, before its first step."""
    network = channels_last(network.to(device))
    decay = dict.fromkeys(decay_groups(network).decaying, recipe.weight_decay)
    descent = Descent({name: decay.get(name, 0.0) for name, _ in network.named_parameters()})
    return Learner(network, average_of(network), descent)


def set_training(network: nn.Module, frozen: bool) -> None:
    """Training mode; where frozen, only for the last linear layer: all before it stays as it is, its statistics too."""
    network.train()
    head = head_name(network)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not frozen or name.startswith(f"{head}."))
    if frozen:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def learner_tensors(learner: Learner) -> dict[str, Tensor]:
    """All that a learner is, by name."""
    tensors = {f"network.{n}": t for n, t in learner.network.state_dict().items()}
    tensors |= {f"average.{n}": t for n, t in learner.average.state_dict().items()}
    return tensors | {f"momentum.{n}": t for n, t in learner.descent.momentum.items()}


def restore(learner: Learner, tensors: dict[str, Tensor], updates: int) -> None:
    """Makes a new learner what `learner_tensors` was taken of.

    Raises:
        KeyError, RuntimeError: tensors of another network.
    """
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.average.load_state_dict(_part(tensors, "average."))
    parameters = dict(learner.network.named_parameters())
    for name, momentum in _part(tensors, "momentum.").items():
        # In the parameter's own memory layout: the kernels, and so the last bits, depend on it.
        learner.descent.momentum[name] = torch.empty_like(parameters[name].detach()).copy_(momentum)
    learner.updates = updates


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
