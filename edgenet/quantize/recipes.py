"""Recipes: named lists of steps that turn a float graph into integers.

`edgenet convert --recipe` selects a recipe by name, and the manifest records its steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.data.loading import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import keeps_batch
from edgenet.graph.ir import WEIGHTED, Graph
from edgenet.progress import Progress, silent
from edgenet.quantize.calibrate_layers import LayerOptions, quantize_layers
from edgenet.quantize.channels import double_channels, drop_dead_channels
from edgenet.quantize.equalize import equalize
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph, keep_float
from edgenet.quantize.ranges import (
    add_headroom,
    channel_statistics,
    encode_tensors,
    observe_ranges,
    ranges_of,
)
from edgenet.quantize.rotate import JointStatistics, mixable, rotate
from edgenet.quantize.rounding import LARGEST_BLOCK, quantize_weights
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity

Method = Callable[[Graph, NDArray[np.uint8], Progress], QuantizedGraph]


@dataclass(frozen=True)
class Recipe:
    """A way of quantizing.

    Attributes:
        name: the recipe's name on the command line and in the manifest.
        steps: a short description of each step, in order.
        quantize: the function that does it; it takes the lowered float graph, uint8 RGB photos [n, H, W, 3],
            and a progress callback.
    """

    name: str
    steps: tuple[str, ...]
    quantize: Method


def quantize_minmax(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Quantize by the baseline: ranges of the smallest and largest value seen, weights rounded to nearest."""
    encodings = encode_tensors(graph, observe_ranges(graph, images, progress))
    weights = {
        node.name: quantize_weights(node.operator, encodings[node.inputs[0]].scale)
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED)
    }
    return keep_float(QuantizedGraph(graph, encodings, weights), ())


@dataclass(frozen=True)
class Effort:
    """The photos and the work that a recipe spends. Ranges are always observed on all photos.

    Attributes:
        sensitivity_photos: number of photos on which the logits' sensitivity is measured.
        statistics_photos: number of photos by which axes and factors are chosen; None for all.
        layer_photos: number of photos with which layers are quantized; None for all.
        second_moments: round weights by the second moments of their layer's input; if False, to nearest.
        axes_steps: gradient descent steps for the axes of each group of linear tensors.
        factor_steps: gradient descent steps for the channels' factors in each group of other tensors.
        compensate: change weights so that they make up for errors of their layer's input.
        copies_budget: share of the network's mult-adds that copies of noisy channels may cost.
    """

    sensitivity_photos: int
    statistics_photos: int | None
    layer_photos: int | None
    second_moments: bool
    axes_steps: int
    factor_steps: int
    compensate: bool = True
    copies_budget: float = 0.0


FAST = Effort(
    4,
    statistics_photos=24,
    layer_photos=16,
    second_moments=False,
    axes_steps=0,
    factor_steps=0,
    compensate=False,
)


def quantize_fast(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Quantize a graph: cut out dead channels, rotate, equalize, round to nearest and correct the biases."""
    return _reshape_and_quantize(graph, images, FAST, progress)


BALANCED = Effort(
    24, statistics_photos=None, layer_photos=None, second_moments=True, axes_steps=60, factor_steps=200
)


def quantize_balanced(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Quantize like `quantize_fast`, but round weights by their inputs and compensate input errors."""
    return _reshape_and_quantize(graph, images, BALANCED, progress)


BEST = Effort(
    48,
    statistics_photos=None,
    layer_photos=None,
    second_moments=True,
    axes_steps=200,
    factor_steps=200,
    copies_budget=0.2,
)


def quantize_best(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Quantize like `quantize_balanced`, but with better axes and with the noisiest channels doubled."""
    return _reshape_and_quantize(graph, images, BEST, progress)


def _reshape_and_quantize(
    graph: Graph, images: NDArray[np.uint8], effort: Effort, progress: Progress
) -> QuantizedGraph:
    if not keeps_batch(graph):
        raise EdgenetError(
            "the network moves its batch axis, so photos cannot go through it together", "use --recipe minmax"
        )
    reshaped, sensitivity = rotate_and_equalize(drop_dead_channels(graph), images, effort, progress)
    encodings = _encode(reshaped, images, sensitivity, progress)
    if effort.copies_budget:
        few = _some(images, effort.sensitivity_photos)
        statistics = channel_statistics(reshaped, few, progress)
        sensitivity = logit_sensitivity(reshaped, few, statistics, progress=progress)
        reshaped = double_channels(reshaped, encodings, sensitivity, effort.copies_budget)
        encodings = _encode(reshaped, images, sensitivity, progress)
    return quantize_layers(
        reshaped,
        encodings,
        _some(images, effort.layer_photos),
        LayerOptions(effort.second_moments, compensate=effort.compensate),
        progress,
    )


def rotate_and_equalize(
    graph: Graph,
    images: NDArray[np.uint8],
    effort: Effort = BALANCED,
    progress: Progress = silent,
) -> tuple[Graph, Sensitivity]:
    """Rotate and equalize: return a graph of the same function whose rounding makes less noise at the logits.

    Also return the sensitivity of the logits. For equalized channels it is the sensitivity before
    equalization.
    """
    mixed = mixable(graph)
    joint = JointStatistics(mixed.tensors)
    some = _some(images, effort.statistics_photos)
    statistics = channel_statistics(graph, some, progress, joint.observe)
    ranges_of(graph, statistics)  # raises on values that are not finite, before they get into matrices
    few = _some(images, effort.sensitivity_photos)
    sensitivity = logit_sensitivity(graph, few, statistics, mixed, progress)
    graph, sensitivity = rotate(graph, statistics, joint, sensitivity, effort.axes_steps)
    return equalize(graph, statistics, sensitivity, effort.factor_steps), sensitivity


def _encode(
    graph: Graph, images: NDArray[np.uint8], sensitivity: Sensitivity, progress: Progress
) -> dict[str, Encoding]:
    ranges = observe_ranges(graph, images, progress)
    return encode_tensors(graph, add_headroom(graph, ranges, sensitivity.coherence))


def _some(images: NDArray[np.uint8], count: int | None) -> NDArray[np.uint8]:
    """Return `count` photos, evenly spread, or all photos if it is None."""
    return images if count is None else images[evenly(len(images), count)]


# The steps in the words in which the manifest records them.
MINMAX = "activation ranges: smallest and largest value of the calibration photos"
DEAD = "dead channels cut out where the network stays the same"
ROTATE = "linear tensors rotated to axes of least rounding noise at the logits, shifts absorbed into biases"
EQUALIZE = "cross-layer equalization through ReLU6, each channel's factor chosen by the logits' sensitivity"
DOUBLE = "noisiest channels doubled, half a step apart (outlier channel splitting), for 20 % more mult-adds"
WIDENED = "activation ranges: widened where the errors of a whole feature map add up at the logits"
COMPENSATE = (
    "weights make up for the errors of their layer's input, by ridge regression cross-validated on photos"
)
SCALES = "weights: per channel, scale of least squared error"
GPTQ = f"rounding: by the second moments of each layer's input (GPTQ), at most {LARGEST_BLOCK} inputs at once"
BIAS = "bias correction layer by layer on quantized inputs, matching the mean after the activation"
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "minmax", (MINMAX, "weights: per channel, largest value", "rounding: to nearest"), quantize_minmax
        ),
        Recipe(
            "fast",
            (DEAD, ROTATE, EQUALIZE, MINMAX, WIDENED, SCALES, "rounding: to nearest", BIAS),
            quantize_fast,
        ),
        Recipe(
            "balanced",
            (DEAD, ROTATE, EQUALIZE, MINMAX, WIDENED, COMPENSATE, SCALES, GPTQ, BIAS),
            quantize_balanced,
        ),
        Recipe(
            "best",
            (DEAD, ROTATE, EQUALIZE, DOUBLE, MINMAX, WIDENED, COMPENSATE, SCALES, GPTQ, BIAS),
            quantize_best,
        ),
    )
}
DEFAULT_RECIPE = "balanced"
TORCH_THREADS = 2


@contextmanager
def fixed_torch_threads() -> Iterator[None]:
    """Run the block with the same number of torch threads on every machine, to make the file reproducible.

    The way torch splits float sums among threads changes their last bits, and with them the ranges. So a
    machine with more cores would give another file.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(TORCH_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
