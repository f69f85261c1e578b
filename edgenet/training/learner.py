"""The state that training steps change: the weights, their moving average and the optimizer's moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.training.optimizers import AdamState, SgdState, adam_step, average_of, decay_groups, sgd_step
from edgenet.training.qat import QatNetwork
from edgenet.training.recipe import Recipe
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
        KeyError, RuntimeError: the tensors belong to another network.
    """
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.average.load_state_dict(_part(tensors, "average."))
    parameters = dict(learner.network.named_parameters())
    for kind, moments in _moments(learner.optimizer).items():
        for name, moment in _part(tensors, f"{kind}.").items():
            # The memory layout decides which kernel runs, and so the last bits: copy the parameter's layout.
            moments[name] = torch.empty_like(parameters[name].detach()).copy_(moment)
    learner.updates = updates


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moments(optimizer: SgdState | AdamState) -> dict[str, dict[str, Tensor]]:
    """Return the optimizer's moments of each parameter, by the name of the moment in the state file."""
    moments = {"momentum": optimizer.momentum}
    return moments | {"squares": optimizer.squares} if isinstance(optimizer, AdamState) else moments
