"""The network of quantization-aware training: a checkpoint, quantized to int8 by a post-training recipe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from edgenet_device.preprocess import prepare
from numpy.typing import NDArray
from torch import Tensor, nn

from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.graph.simplify import simplify
from edgenet.graph.torch_reader import read_torch
from edgenet.progress import Progress
from edgenet.quantize.fake_quantization import FakeQuantized
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.recipes import RECIPES, fixed_torch_threads
from edgenet.training.photos import TrainingPhotos
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import NetworkOptions, Normalization


@dataclass(frozen=True)
class QatPlan:
    """What quantization-aware training starts from.

    Attributes:
        recipe: the name of the post-training quantization recipe.
        photos: the number of training photos used as calibration data.
        start: SHA-256 of the int8 network that the recipe made (see `quantized_digest`); empty before.
    """

    recipe: str
    photos: int = 100
    start: str = ""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise EdgenetError(f"there is no recipe '{self.recipe}'", f"the recipes are {', '.join(RECIPES)}")


class QatNetwork(nn.Module):
    """The fake-quantized network in the form that the training loop needs.

    It maps normalized RGB [n,3,H,W] to logits [n,classes].

    Args:
        quantized: the int8 network that training starts from.
        options: the options that the float network was built with.
    """

    def __init__(self, quantized: QuantizedGraph, options: NetworkOptions) -> None:
        super().__init__()
        self.fake = FakeQuantized(quantized)
        self.options = options

    @property
    def graph(self) -> Graph:
        """The float graph that was quantized."""
        return self.fake.quantized.graph

    @property
    def normalization(self) -> Normalization:
        """The normalization that turns pixels into the real values of the graph's input."""
        encoding = self.graph.require_pixels()
        zero, size = float(encoding.zero_point), 1 / float(np.float32(encoding.scale))
        return Normalization((zero, zero, zero), (size, size, size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [n,classes] of normalized RGB `x` [n,3,H,W]."""
        return self.fake(x.permute(0, 2, 3, 1))


def quantize_for_training(
    loaded: LoadedNetwork, photos: TrainingPhotos, plan: QatPlan, progress: Progress
) -> QatNetwork:
    """Quantize a float network, with training photos as calibration data.

    The result is the same to the last bit for any number of threads.

    Args:
        loaded: the float network.
        photos: the training photos.
        plan: the recipe and the number of calibration photos.
        progress: called as the quantization advances.

    Raises:
        EdgenetError: the recipe cannot quantize the network.
    """
    with fixed_torch_threads():
        graph = lower(float_graph(loaded), exact_border=False)
        images = calibration_images(photos, loaded.variant.resolution, plan.photos)
        quantized = RECIPES[plan.recipe].quantize(graph, images, progress)
    return QatNetwork(quantized, loaded.module.options)


def float_graph(loaded: LoadedNetwork) -> Graph:
    """Return the network as a graph whose input is pixels."""
    size = loaded.variant.resolution
    return simplify(read_torch(loaded.module, (size, size), loaded.variant.name), loaded.normalization)


def calibration_indices(photos: TrainingPhotos, count: int) -> list[int]:
    """Return the indices of the calibration photos: evenly spread, so that the classes are covered in proportion."""
    return evenly(len(photos), count)


def calibration_images(photos: TrainingPhotos, resolution: int, count: int) -> NDArray[np.uint8]:
    """Return the calibration photos, prepared as on the device, uint8 RGB [n,resolution,resolution,3]."""
    indices = calibration_indices(photos, count)
    return np.concatenate([prepare(photos.pixels(index), resolution) for index in indices])


def quantized_digest(quantized: QuantizedGraph) -> str:
    """Return the SHA-256 over all weights, biases and encodings, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, encoding in sorted(quantized.encodings.items()):
        digest.update(f"{name} {encoding.scale!r} {encoding.zero_point}\n".encode())
    for name, weights in sorted(quantized.weights.items()):
        digest.update(name.encode())
        for array in (weights.values, weights.scales, weights.bias):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
