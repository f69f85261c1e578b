"""Quantization-aware training: a checkpoint's int8 network as the loop trains it, made by a post-training recipe."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from device_scripts.preprocess import prepare
from edgenet.data.choose import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph
from edgenet.graph.passes.simplify import lower, simplify
from edgenet.graph.readers.torch_module import read_torch
from edgenet.progress import Progress
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.fake import FakeQuantized
from edgenet.quantize.recipes import RECIPES
from edgenet.quantize.threads import fixed_torch_threads
from edgenet.training.photos import TrainingPhotos
from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.loaded import LoadedNetwork
from edgenet.zoo.normalization import Normalization


@dataclass(frozen=True)
class QatPlan:
    """What quantization-aware training starts from.

    Attributes:
        recipe: the post-training recipe.
        photos: training photos that calibrate.
        start: SHA-256 of the network that the recipe gave, empty before it did.
    """

    recipe: str
    photos: int = 100
    start: str = ""

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise EdgenetError(f"there is no recipe '{self.recipe}'", f"the recipes are {', '.join(RECIPES)}")


class Student(nn.Module):
    """The fake-quantized reading as the loop sees a network: normalized RGB [n,3,H,W] to logits [n,classes].

    Args:
        quantized: where the training starts.
        options: what the float network was built with.
    """

    def __init__(self, quantized: QuantizedGraph, options: NetworkOptions) -> None:
        super().__init__()
        self.fake = FakeQuantized(quantized)
        self.options = options

    @property
    def graph(self) -> Graph:
        """The float graph that the integers stand for."""
        return self.fake.quantized.graph

    @property
    def normalization(self) -> Normalization:
        """What makes the graph's decoded pixels of pixels."""
        encoding = self.graph.takes_pixels()
        zero, size = float(encoding.zero_point), 1 / float(np.float32(encoding.scale))
        return Normalization((zero, zero, zero), (size, size, size))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n,classes] of normalized RGB `x` [n,3,H,W]."""
        return self.fake(x.permute(0, 2, 3, 1))


def student_of(loaded: LoadedNetwork, photos: TrainingPhotos, plan: QatPlan, progress: Progress) -> Student:
    """Quantizes a float network on training photos.

    The same bytes whatever the number of threads.

    Raises:
        EdgenetError: see the recipes.
    """
    with fixed_torch_threads():
        graph = lower(float_graph(loaded), exact_border=False)
        images = calibration_images(photos, loaded.variant.resolution, plan.photos)
        quantized = RECIPES[plan.recipe].quantize(graph, images, progress)
    return Student(quantized, loaded.module.options)


def float_graph(loaded: LoadedNetwork) -> Graph:
    """The network as a graph that takes pixels."""
    size = loaded.variant.resolution
    return simplify(read_torch(loaded.module, (size, size), loaded.variant.name), loaded.normalization)


def calibration_indices(photos: TrainingPhotos, count: int) -> list[int]:
    """Which of the training photos calibrate: evenly spread, and so over the classes."""
    return evenly(len(photos), count)


def calibration_images(photos: TrainingPhotos, resolution: int, count: int) -> NDArray[np.uint8]:
    """Photos as the device sees them, uint8 RGB [n,resolution,resolution,3]."""
    indices = calibration_indices(photos, count)
    return np.concatenate([prepare(photos.pixels(index), resolution) for index in indices])


def quantized_digest(quantized: QuantizedGraph) -> str:
    """SHA-256 of all integers and encodings, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, encoding in sorted(quantized.encodings.items()):
        digest.update(f"{name} {encoding.scale!r} {encoding.zero_point}\n".encode())
    for name, weights in sorted(quantized.weights.items()):
        digest.update(name.encode())
        for array in (weights.values, weights.scales, weights.bias):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
