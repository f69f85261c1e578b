"""The state that training steps change: the weights, their moving average and the optimizer's moments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress
from edgenet.training.loader import Purpose, seed_torch
from edgenet.training.optimizers import AdamState, SgdState, adam_step, average_of, decay_groups, sgd_step
from edgenet.training.recipe import Recipe
from edgenet.training.student import QatNetwork
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import Variant, build_with
from edgenet.zoo.weights import PRETRAINED


@dataclass
class Learner:
    """A network in training. Each step changes it in place.

    Attributes:
        network: a `Student` in quantization-aware training, else a classifier in channels_last layout.
        average: a copy of the network that holds the moving average of its weights.
        descent: the state of the optimizer: Adam for a `Student`, else gradient descent with momentum.
        updates: the number of steps taken so far.
    """

    network: Classifier | QatNetwork
    average: Classifier | QatNetwork
    descent: SgdState | AdamState
    updates: int = 0


Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """Return the network with its weights in NHWC order, which speeds up convolutions on both CPUs and GPUs."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def new_learner(network: Classifier | QatNetwork, recipe: Recipe, device: torch.device) -> Learner:
    """Return a learner on the device, ready for its first step."""
    if isinstance(network, QatNetwork):
        # A student's weights are in the layouts of its graph's operators, which channels_last would reorder.
        student = network.to(device)
        return Learner(student, average_of(student), AdamState())
    network = channels_last(network.to(device))
    decay = dict.fromkeys(decay_groups(network).decaying, recipe.weight_decay)
    descent = SgdState({name: decay.get(name, 0.0) for name, _ in network.named_parameters()})
    return Learner(network, average_of(network), descent)


def update_weights(learner: Learner, rate: float) -> None:
    """Update the weights once, with the gradients they hold.

    Args:
        learner: its network and optimizer are changed in place.
        rate: the learning rate.
    """
    if isinstance(learner.descent, AdamState):
        adam_step(learner.network, learner.descent, rate, learner.updates)
    else:
        sgd_step(learner.network, learner.descent, rate)


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


def learner_tensors(learner: Learner) -> dict[str, Tensor]:
    """Return every tensor of a learner by name; `restore` is the inverse."""
    tensors = {f"network.{n}": t for n, t in learner.network.state_dict().items()}
    tensors |= {f"average.{n}": t for n, t in learner.average.state_dict().items()}
    for kind, moments in _moments(learner.descent).items():
        tensors |= {f"{kind}.{n}": t for n, t in moments.items()}
    return tensors


def _moments(descent: SgdState | AdamState) -> dict[str, dict[str, Tensor]]:
    """Return the optimizer's moments of each parameter, by the name of the moment in the state file."""
    moments = {"momentum": descent.momentum}
    return moments | {"squares": descent.squares} if isinstance(descent, AdamState) else moments


def restore(learner: Learner, tensors: dict[str, Tensor], updates: int) -> None:
    """Restore a new learner, in place, to the state that `learner_tensors` returned.

    Raises:
        KeyError, RuntimeError: the tensors belong to another network.
    """
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.average.load_state_dict(_part(tensors, "average."))
    parameters = dict(learner.network.named_parameters())
    for kind, moments in _moments(learner.descent).items():
        for name, moment in _part(tensors, f"{kind}.").items():
            # The memory layout decides which kernel runs, and so the last bits: copy the parameter's layout.
            moments[name] = torch.empty_like(parameters[name].detach()).copy_(moment)
    learner.updates = updates


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# ==== edgenet.training.start
# The network that a training starts from: new, or pretrained and, for other classes, with a new last layer.

IMAGENET = "imagenet"


def fresh_network(variant: Variant, labels: tuple[str, ...], seed: int) -> LoadedNetwork:
    """Return a network with random weights for these classes."""
    seed_torch(seed, Purpose.WEIGHTS)
    options = NetworkOptions(classes=len(labels))
    module = build_with(variant, options)
    return LoadedNetwork(module, variant, labels, options.normalization, "random weights", LICENCE_UNKNOWN)


def pretrained_network(
    variant: Variant, labels: tuple[str, ...], source: str, seed: int, progress: StageProgress | None = None
) -> LoadedNetwork:
    """Return a network with pretrained weights; its last layer is new unless the classes are the same.

    Args:
        variant: the variant to train.
        labels: the classes to train.
        source: "imagenet", a variant's name, or the path of a file of weights; architecture and width must match.
        seed: the seed of the new last layer.
        progress: called while weights are downloaded.

    Raises:
        EdgenetError: there are no such weights, or they have another architecture or width.
    """
    loaded = _weights_for(variant, source, progress)
    if loaded.labels == labels:
        return loaded
    return replace(loaded, module=with_new_head(loaded, variant, labels, seed), labels=labels)


def trained_network(
    variant: Variant, labels: tuple[str, ...], source: str, progress: StageProgress | None = None
) -> LoadedNetwork:
    """Return a pretrained network that must already know exactly these classes, in this order.

    Raises:
        EdgenetError: the network knows other classes, or one of the reasons in `pretrained_network` applies.
    """
    loaded = _weights_for(variant, source, progress)
    if loaded.labels != labels:
        lacking = [label for label in labels if label not in loaded.labels]
        others = f"not {', '.join(lacking[:3])}" if lacking else "not exactly the data's, in the data's order"
        raise EdgenetError(
            f"{source} knows {len(loaded.labels)} classes, but {others}; --qat only refines what a network knows",
            "train it on the same class folders without --qat first",
        )
    return loaded


def _weights_for(variant: Variant, source: str, progress: StageProgress | None) -> LoadedNetwork:
    loaded = load_network(_imagenet_name(variant) if source == IMAGENET else source, progress=progress)
    if (loaded.variant.architecture, loaded.variant.width) != (variant.architecture, variant.width):
        raise EdgenetError(
            f"{source} holds {loaded.variant.name}, whose layers differ from those of {variant.name}",
            f"train {loaded.variant.architecture}_{loaded.variant.width}_{variant.resolution}, or use other weights",
        )
    return replace(loaded, variant=variant)


def with_new_head(loaded: LoadedNetwork, variant: Variant, labels: tuple[str, ...], seed: int) -> Classifier:
    """Return the network with a new last layer that has random weights and one output per label."""
    seed_torch(seed, Purpose.WEIGHTS)
    module = build_with(variant, replace(loaded.module.options, classes=len(labels)))
    prefix = f"{head_name(module)}."
    kept = {n: t for n, t in loaded.module.state_dict().items() if not n.startswith(prefix)}
    module.load_state_dict(kept, strict=False)
    return module


def head_name(module: nn.Module) -> str:
    """Return the name of the last linear layer."""
    return [name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)][-1]


def _imagenet_name(variant: Variant) -> str:
    """Return the variant with ImageNet weights that has the same layers, at whatever resolution it was trained."""
    prefix = f"{variant.architecture}_{variant.width}_"
    name = next((name for name in PRETRAINED if name.startswith(prefix)), None)
    if name is None:
        raise EdgenetError(
            f"there are no ImageNet weights for {variant.architecture} of width {variant.width}",
            f"choose one that has them ({', '.join(PRETRAINED)}), or give --pretrained FILE, or train from scratch",
        )
    return name
