"""Recognizes one of our networks by nothing but its layers' weights, in the order in which the layers run.

Finished files (a float .tflite, a Keras model) name their layers as they like, and batch normalization is folded into
the convolutions. The number of layers and the shapes of their weights say which network it may be; one photo says
whether it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.zoo.catalogue import labels_for
from edgenet.zoo.checkpoint import LICENCE_UNKNOWN, LoadedNetwork, load_tensors
from edgenet.zoo.classifier import NetworkOptions, Normalization
from edgenet.zoo.layers import Padding
from edgenet.zoo.layouts import COUNTER, meta_network, recognize
from edgenet.zoo.registry import ARCHITECTURES, Variant


@dataclass(frozen=True)
class OrderedLayer:
    """A convolution or a fully connected layer, with batch normalization folded in.

    Attributes:
        weights: in torch's order: [output, input, height, width], or [output, input].
        bias: one number for each output.
        clipped: whether ReLU6 follows in the same operator.
    """

    weights: Tensor
    bias: Tensor
    clipped: bool = False


@dataclass(frozen=True)
class FinishedFile:
    """A finished float network of any maker.

    Attributes:
        path: the file.
        layers: its layers with weights, in the order in which they run.
        size: height and width of its picture, pixels.
        normalization: what its pixels go through.
        scores: the probabilities [classes] that the file itself gives for a picture, uint8 RGB [height, width, 3].
        labels: the classes' names; empty if the file does not have them.
        assumed: what the file does not say and its reader assumed.
    """

    path: Path
    layers: Sequence[OrderedLayer]
    size: tuple[int, int]
    normalization: Normalization
    scores: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    labels: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def network_of(file: FinishedFile) -> LoadedNetwork:
    """Return the network of ours that computes what a file computes, with the file's weights.

    Raises:
        EdgenetError: there is none.
    """
    pixels = np.random.RandomState(0).randint(0, 256, (*file.size, 3)).astype(np.uint8)
    theirs = torch.from_numpy(np.asarray(file.scores(pixels), np.float32))
    for variant, tensors, options in _candidates(file):
        module = load_tensors(variant, options, tensors, str(file.path))
        labels = file.labels if len(file.labels) == options.classes else labels_for(options.classes)
        origin = f"{file.path.name}, SHA-256 {sha256(file.path)}"
        loaded = LoadedNetwork(
            module, variant, labels, file.normalization, origin, LICENCE_UNKNOWN, file.assumed
        )
        with torch.no_grad():
            ours = loaded.with_pixels()(torch.from_numpy(pixels).permute(2, 0, 1)[None].float())[0].softmax(0)
        if ours.shape == theirs.shape and float((ours - theirs).abs().max()) <= 1e-3 * float(theirs.max()):
            return loaded
    raise EdgenetError(
        f"{file.path} has {len(file.layers)} layer{'s' * (len(file.layers) != 1)} with weights, and is none of the"
        " networks that edgenet trains",
        "`edgenet convert` takes it as it is; to train, give a checkpoint of edgenet, torchvision or timm",
    )


def _candidates(file: FinishedFile) -> Iterator[tuple[Variant, dict[str, Tensor], NetworkOptions]]:
    """Yield the networks that have as many layers, with weights of the same shapes."""
    height, width = file.size
    for name, architecture in ARCHITECTURES.items():
        if architecture.one_resolution or height != width or height < architecture.smallest:
            continue
        options = NetworkOptions(2, epsilon=1e-3, normalization=file.normalization)
        expected = meta_network(Variant(name, 1.0, architecture.smallest), options).state_dict()
        tensors = ordered_tensors(file.layers, expected, options.epsilon)
        match = recognize(tensors) if tensors is not None else None
        if match is None or tensors is None or match[0].architecture != name:
            continue
        variant, fixed_stem = match
        paddings: tuple[Padding, ...] = ("same", "symmetric")
        for padding in paddings:
            classes = len(tensors["classifier.bias"])
            built = replace(options, classes=classes, padding=padding, fixed_stem=fixed_stem)
            yield Variant(variant.architecture, variant.width, height), tensors, built


def ordered_tensors(
    layers: Sequence[OrderedLayer], expected: Mapping[str, Tensor], epsilon: float
) -> dict[str, Tensor] | None:
    """Return the layers' weights under our names; None if the network has another number of layers.

    Args:
        layers: the layers in the order in which they run.
        expected: our network's tensors; only the names and the numbers of axes matter.
        epsilon: the epsilon of the network's batch normalization, which then only adds the bias.
    """
    names = [name.removesuffix(".weight") for name, t in expected.items() if _has_weights(name, t)]
    if len(names) != len(layers):
        return None
    tensors: dict[str, Tensor] = {}
    for name, layer in zip(names, layers, strict=True):
        # The gate of squeeze-and-excite is ReLU6(x + 3) / 6; converters add the 3 to the bias before it.
        bias = layer.bias - 3 if name.endswith("squeeze.expand") and layer.clipped else layer.bias
        is_matrix = expected[f"{name}.weight"].ndim == 2
        tensors[f"{name}.weight"] = layer.weights.flatten(1) if is_matrix else layer.weights
        if f"{name}.bias" in expected:
            tensors[f"{name}.bias"] = bias
        else:
            tensors |= _adding(f"{name.removesuffix('conv')}norm", bias, epsilon)
    return {name: tensors[name] for name in expected if not name.endswith(COUNTER)}


def _has_weights(name: str, tensor: Tensor) -> bool:
    return name.endswith(".weight") and tensor.ndim > 1


def _adding(norm: str, bias: Tensor, epsilon: float) -> dict[str, Tensor]:
    """Return the tensors of a batch normalization that only adds `bias`."""
    return {
        f"{norm}.weight": torch.ones_like(bias),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": torch.zeros_like(bias),
        f"{norm}.running_var": torch.full_like(bias, 1 - epsilon),
    }
