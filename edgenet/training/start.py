"""The network that a training starts from: new, or pretrained and, for other classes, with a new last layer."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from edgenet.errors import EdgenetError
from edgenet.training.randomness import Purpose, seed_torch
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.loaded import LICENCE_UNKNOWN, LoadedNetwork
from edgenet.zoo.loading import load_network
from edgenet.zoo.registry import Variant, build_with
from edgenet.zoo.weights import PRETRAINED, Progress

IMAGENET = "imagenet"


def fresh_network(variant: Variant, labels: tuple[str, ...], seed: int) -> LoadedNetwork:
    """Return a network with random weights for these classes."""
    seed_torch(seed, Purpose.WEIGHTS)
    options = NetworkOptions(classes=len(labels))
    module = build_with(variant, options)
    return LoadedNetwork(module, variant, labels, options.normalization, "random weights", LICENCE_UNKNOWN)


def pretrained_network(
    variant: Variant, labels: tuple[str, ...], source: str, seed: int, progress: Progress | None = None
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
    variant: Variant, labels: tuple[str, ...], source: str, progress: Progress | None = None
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


def _weights_for(variant: Variant, source: str, progress: Progress | None) -> LoadedNetwork:
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
