"""The network that a training starts with: random weights, ImageNet's, or those in a file.

Some weights come with batch normalization folded in (see `edgenet.zoo.finished_files`): it only adds a bias, as if
every channel had the mean 0 and the variance 1. A training normalizes by the batch's own mean and variance, which
would change everything at the first step. So each batch normalization gets the statistics that its input has over
some photos, and the factors that undo them: the network computes the same as before, and a training starts from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from edgenet_device.file_kind import HDF5, KERAS, TFJS, file_kind
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.files import json_beside
from edgenet.graph.executor import run
from edgenet.graph.fold import absorb_scaling
from edgenet.graph.ir import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected, Graph
from edgenet.graph.keras_reader import read_keras
from edgenet.graph.simplify import simplify
from edgenet.progress import StageProgress
from edgenet.training.learner import head_name
from edgenet.training.loader import Purpose, seed_torch
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork
from edgenet.zoo.classifier import SLIM, Classifier, NetworkOptions, Normalization
from edgenet.zoo.finished_files import FinishedFile, OrderedLayer, network_of
from edgenet.zoo.pretrained import load_start
from edgenet.zoo.readers import load_network
from edgenet.zoo.registry import Variant, build_with

IMAGENET = "imagenet"


@dataclass(frozen=True)
class StartingWeights:
    """The weights that a user wants to start from.

    Attributes:
        source: "imagenet", for the weights of the width or of the nearest wider one; or a variant's name, or the path
            of a file of weights.
        architecture: what the network in a checkpoint of torchvision or timm is (see `load_foreign`); None for what
            its tensors look like.
    """

    source: str
    architecture: str | None = None


def load_weights(
    source: str, progress: StageProgress | None = None, architecture: str | None = None
) -> LoadedNetwork:
    """Return a network with its weights, in evaluation mode, for a training.

    Args:
        source: what `load_network` takes, or a Keras model of one of our networks.
        progress: called while weights are downloaded.
        architecture: what the network in a checkpoint of torchvision or timm is (see `load_foreign`).

    Raises:
        EdgenetError: see `load_network` and `load_keras_network`.
    """
    path = Path(source)
    if path.is_file() and file_kind(path) in (HDF5, KERAS, TFJS):
        if architecture is not None:
            raise EdgenetError(f"{source} says itself what its network is", "leave out --architecture")
        return load_keras_network(path)
    return load_network(source, progress=progress, architecture=architecture)


def fresh_network(variant: Variant, labels: tuple[str, ...], seed: int) -> LoadedNetwork:
    """Return a network with random weights for these classes."""
    seed_torch(seed, Purpose.WEIGHTS)
    options = NetworkOptions(classes=len(labels))
    module = build_with(variant, options)
    return LoadedNetwork(module, variant, labels, options.normalization, "random weights", LICENCE_UNKNOWN)


def pretrained_network(
    variant: Variant,
    labels: tuple[str, ...],
    start: StartingWeights,
    seed: int,
    progress: StageProgress | None = None,
) -> LoadedNetwork:
    """Return a network with pretrained weights; its last layer is new unless the classes are the same.

    Args:
        variant: the variant to train.
        labels: the classes to train.
        start: the weights, whose architecture and width must match.
        seed: the seed of the new last layer.
        progress: called while weights are downloaded.

    Raises:
        EdgenetError: there are no such weights, or they have another architecture or width.
    """
    loaded = _weights_for(variant, start, progress)
    if loaded.labels == labels:
        return loaded
    return replace(loaded, module=_with_new_head(loaded, variant, labels, seed), labels=labels)


def trained_network(
    variant: Variant, labels: tuple[str, ...], start: StartingWeights, progress: StageProgress | None = None
) -> LoadedNetwork:
    """Return a pretrained network that must already know exactly these classes, in this order.

    Raises:
        EdgenetError: the network knows other classes, or one of the reasons in `pretrained_network` applies.
    """
    loaded = _weights_for(variant, start, progress)
    if loaded.labels != labels:
        lacking = [label for label in labels if label not in loaded.labels]
        others = f"not {', '.join(lacking[:3])}" if lacking else "not exactly the data's, in the data's order"
        raise EdgenetError(
            f"{start.source} knows {len(loaded.labels)} classes, but {others}; --qat only refines what a network knows",
            "train it on the same class folders without --qat first",
        )
    return loaded


def _weights_for(variant: Variant, start: StartingWeights, progress: StageProgress | None) -> LoadedNetwork:
    if start.source == IMAGENET:
        return load_start(variant, progress)
    loaded = load_weights(start.source, progress, start.architecture)
    if (loaded.variant.architecture, loaded.variant.width) != (variant.architecture, variant.width):
        raise EdgenetError(
            f"{start.source} holds {loaded.variant.name}, whose layers differ from those of {variant.name}",
            f"train {loaded.variant.architecture}_{loaded.variant.width}_{variant.resolution}, or use other weights",
        )
    return replace(loaded, variant=variant)


def _with_new_head(loaded: LoadedNetwork, variant: Variant, labels: tuple[str, ...], seed: int) -> Classifier:
    """Return the network with a new last layer that has random weights and one output per label."""
    seed_torch(seed, Purpose.WEIGHTS)
    module = build_with(variant, replace(loaded.module.options, classes=len(labels)))
    prefix = f"{head_name(module)}."
    kept = {n: t for n, t in loaded.module.state_dict().items() if not n.startswith(prefix)}
    module.load_state_dict(kept, strict=False)
    return module


def is_folded(network: nn.Module) -> bool:
    """Return whether the batch normalization of a network has no statistics."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    return bool(norms) and not any(bool(norm.running_mean.any()) for norm in norms)  # type: ignore[union-attr]


def give_statistics(loaded: LoadedNetwork, pixels: NDArray[np.uint8]) -> None:
    """Give a folded network's batch normalization the statistics of some photos; its results stay the same.

    Args:
        loaded: the network, which is changed.
        pixels: photos, uint8 RGB [n, R, R, 3]; some dozens are enough.
    """
    sums: dict[nn.BatchNorm2d, list[Tensor]] = {}

    def add(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        count = torch.tensor(x.numel() / x.shape[1])
        new = [x.sum((0, 2, 3)), x.square().sum((0, 2, 3)), count]
        sums[norm] = [a + b for a, b in zip(sums[norm], new, strict=True)] if norm in sums else new

    norms = [module for module in loaded.module.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(add) for norm in norms]
    network = loaded.with_pixels().eval()
    with torch.no_grad():
        for photo in pixels:
            network(torch.from_numpy(photo).permute(2, 0, 1)[None].float())
    for hook in hooks:
        hook.remove()
    for norm, (total, squares, count) in sums.items():
        mean = total / count
        _set_statistics(norm, mean, (squares / count - mean.square()).clamp(min=0))


@torch.no_grad()
def _set_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set mean and variance of the input, and the factor and offset with which the output stays the same."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    before = norm.weight / (norm.running_var + norm.eps).sqrt()
    offset = norm.bias - norm.running_mean * before
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    norm.weight.copy_(before * (norm.running_var + norm.eps).sqrt())
    norm.bias.copy_(offset + norm.running_mean * before)


PIXELS = Normalization((0.0,) * 3, (1.0,) * 3)


def load_keras_network(path: Path) -> LoadedNetwork:
    """Return the network of ours that a Keras model is, with its weights and folded batch normalization.

    A model that does not scale its picture itself is taken to expect -1..1, as Keras' own MobileNets and Teachable
    Machine have it; the network's `assumed` says so.

    Args:
        path: a .h5, a .keras, or the model.json of TensorFlow.js.

    Raises:
        EdgenetError: the file cannot be read (see `read_keras`), or holds none of our networks.
    """
    read = read_keras(path)
    graph, exact = absorb_scaling(read.graph, PIXELS if read.scales_pixels else SLIM)
    normalization = Normalization(_rounded(exact.mean), _rounded(exact.std))
    pixels = simplify(graph, normalization)

    def scores(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        return torch.from_numpy(run(pixels, picture[None])[0]).softmax(0).numpy()

    teachable = "teachablemachine" in str(json_beside(path, "metadata.json").get("packageName", "")).lower()
    assumed = () if read.scales_pixels or teachable else (NOT_STATED,)
    layers = _ordered(simplify(graph, None))
    return network_of(FinishedFile(path, layers, graph.size, normalization, scores, (), assumed))


def _rounded(values: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return a mean or deviation without the last digits, which float32 made of 1 / 127.5."""
    red, green, blue = (round(value, 3) for value in values)
    return red, green, blue


NOT_STATED = (
    "the model does not say how its photos were prepared in training: the normalization -1..1 is assumed"
)


def _ordered(graph: Graph) -> list[OrderedLayer]:
    """Return the layers of a simplified graph that have weights, in torch's layout."""
    layers = []
    for node in graph.nodes:
        operator = node.operator
        if not isinstance(operator, WEIGHTED):
            continue
        assert isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected)
        weights = torch.from_numpy(np.array(operator.weight, np.float32))
        if isinstance(operator, Conv2D):
            weights = weights.permute(0, 3, 1, 2)
        elif isinstance(operator, DepthwiseConv2D):
            weights = weights.permute(3, 0, 1, 2)
        layers.append(
            OrderedLayer(weights.contiguous(), torch.from_numpy(np.array(operator.bias, np.float32)))
        )
    return layers
