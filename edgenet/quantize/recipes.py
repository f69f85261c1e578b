"""Recipes: named lists of steps that turn a float graph into integers.

A recipe is what `edgenet convert --recipe` names and what the manifest records, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.data.choose import evenly
from edgenet.errors import EdgenetError
from edgenet.graph.executor import keeps_batch
from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED
from edgenet.graph.passes.dead_channels import drop_dead_channels
from edgenet.progress import Progress, silent
from edgenet.quantize.double import double_channels
from edgenet.quantize.encodings import Encoding, QuantizedGraph
from edgenet.quantize.equalize import equalize
from edgenet.quantize.ranges import (
    encode_tensors,
    leave_room,
    observe_ranges,
    ranges_of,
)
from edgenet.quantize.rotate import JointStatistics, mixable, rotate
from edgenet.quantize.rounding import TOGETHER
from edgenet.quantize.sensitivity import Sensitivity, logit_sensitivity
from edgenet.quantize.statistics import channel_statistics
from edgenet.quantize.sweep import SweepOptions, sweep
from edgenet.quantize.weights import quantize_weights

Method = Callable[[Graph, NDArray[np.uint8], Progress], QuantizedGraph]


@dataclass(frozen=True)
class Recipe:
    """A way of quantizing.

    Attributes:
        name: as the command line and the manifest have it.
        steps: what is done, in order, in the field's words.
        quantize: does it: (lowered float graph, uint8 RGB photos [n, H, W, 3], progress).
    """

    name: str
    steps: tuple[str, ...]
    quantize: Method


def quantize_minmax(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """The baseline: ranges are the smallest and largest value seen, weights are rounded to nearest."""
    encodings = encode_tensors(graph, observe_ranges(graph, images, progress))
    weights = {
        node.name: quantize_weights(node.operator, encodings[node.inputs[0]].scale)
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED)
    }
    return QuantizedGraph(graph, encodings, weights)


@dataclass(frozen=True)
class Effort:
    """What a recipe spends.

    Attributes:
        sensitivity_photos: photos that the logits' sensitivity is measured on.
        statistics_photos: photos that axes and factors are chosen by; None for all.
        sweep_photos: photos that layers are rounded with; None for all. The ranges are always of all photos.
        second_moments: round weights by what their layer sees; else to nearest.
        axes_steps, factor_steps: of gradient descent for the axes of linear tensors, and for each channel's factor
            in the others.
        compensate: change weights so that they make up for errors of their layer's input.
        doubled: share of the network's mult-adds that may go into copies of noisy channels.
    """

    sensitivity_photos: int
    statistics_photos: int | None
    sweep_photos: int | None
    second_moments: bool
    axes_steps: int
    factor_steps: int
    compensate: bool = True
    doubled: float = 0.0


FAST = Effort(
    4,
    statistics_photos=24,
    sweep_photos=16,
    second_moments=False,
    axes_steps=0,
    factor_steps=0,
    compensate=False,
)
BALANCED = Effort(
    24, statistics_photos=None, sweep_photos=None, second_moments=True, axes_steps=60, factor_steps=200
)
BEST = Effort(
    48,
    statistics_photos=None,
    sweep_photos=None,
    second_moments=True,
    axes_steps=200,
    factor_steps=200,
    doubled=0.2,
)


def quantize_fast(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Dead channels cut out, rotated, equalized, rounded to nearest, with corrected biases."""
    return _equalized_sweep(graph, images, FAST, progress)


def quantize_balanced(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """As fast, with weights rounded by what each layer sees, and made to make up for the errors of that."""
    return _equalized_sweep(graph, images, BALANCED, progress)


def quantize_best(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """As balanced, with better axes and the noisiest channels twice."""
    return _equalized_sweep(graph, images, BEST, progress)


def _equalized_sweep(
    graph: Graph, images: NDArray[np.uint8], effort: Effort, progress: Progress
) -> QuantizedGraph:
    if not keeps_batch(graph):
        raise EdgenetError(
            "the network moves its batch axis, so photos cannot go through it together", "use --recipe minmax"
        )
    reshaped, sensitivity = reshape_channels(drop_dead_channels(graph), images, effort, progress)
    encodings = _encode(reshaped, images, sensitivity, progress)
    if effort.doubled:
        few = _some(images, effort.sensitivity_photos)
        statistics = channel_statistics(reshaped, few, progress)
        sensitivity = logit_sensitivity(reshaped, few, statistics, progress=progress)
        reshaped = double_channels(reshaped, encodings, sensitivity, effort.doubled)
        encodings = _encode(reshaped, images, sensitivity, progress)
    return sweep(
        reshaped,
        encodings,
        _some(images, effort.sweep_photos),
        SweepOptions(effort.second_moments, compensate=effort.compensate),
        progress,
    )


def _encode(
    graph: Graph, images: NDArray[np.uint8], sensitivity: Sensitivity, progress: Progress
) -> dict[str, Encoding]:
    ranges = observe_ranges(graph, images, progress)
    return encode_tensors(graph, leave_room(graph, ranges, sensitivity.coherence))


def reshape_channels(
    graph: Graph,
    images: NDArray[np.uint8],
    effort: Effort = BALANCED,
    progress: Progress = silent,
) -> tuple[Graph, Sensitivity]:
    """The same function on channels that int8 rounds with the least noise at the logits: rotated and equalized.

    With it the sensitivity of the logits; that of equalized channels is the one before equalization.
    """
    mixed = mixable(graph)
    joint = JointStatistics(mixed.tensors)
    some = _some(images, effort.statistics_photos)
    statistics = channel_statistics(graph, some, progress, joint.observe)
    ranges_of(graph, statistics)  # refuses values that are not finite before a matrix is made of them
    few = _some(images, effort.sensitivity_photos)
    sensitivity = logit_sensitivity(graph, few, statistics, mixed, progress)
    graph, sensitivity = rotate(graph, statistics, joint, sensitivity, effort.axes_steps)
    return equalize(graph, statistics, sensitivity, effort.factor_steps), sensitivity


def _some(images: NDArray[np.uint8], count: int | None) -> NDArray[np.uint8]:
    """So many of the photos, evenly spread, or all."""
    return images if count is None else images[evenly(len(images), count)]


MINMAX = "activation ranges: smallest and largest value of the calibration photos"
DEAD = "dead channels cut out where the network stays the same"
ROTATE = "linear tensors put on the axes of least rounding noise at the logits, shifts absorbed into biases"
ROOM = "room beyond the range where a whole map's errors add up at the logits"
DOUBLE = "noisiest channels twice, offset by half a step (outlier channel splitting), for 20 % more mult-adds"
EQUALIZE = "cross-layer equalization through ReLU6, each channel's factor by the sensitivity of the logits"
SCALES = "weights: per channel, scale of least squared error"
COMPENSATE = (
    "weights make up for the errors of their layer's input, by ridge regression judged on other photos"
)
GPTQ = f"rounding: by the second moments of each layer's input (GPTQ), at most {TOGETHER} values together"
BIAS = "bias correction layer by layer on quantized inputs, matching the mean after the activation"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "minmax", (MINMAX, "weights: per channel, largest value", "rounding: to nearest"), quantize_minmax
        ),
        Recipe(
            "fast",
            (DEAD, ROTATE, EQUALIZE, MINMAX, ROOM, SCALES, "rounding: to nearest", BIAS),
            quantize_fast,
        ),
        Recipe(
            "balanced",
            (DEAD, ROTATE, EQUALIZE, MINMAX, ROOM, COMPENSATE, SCALES, GPTQ, BIAS),
            quantize_balanced,
        ),
        Recipe(
            "best",
            (DEAD, ROTATE, EQUALIZE, DOUBLE, MINMAX, ROOM, COMPENSATE, SCALES, GPTQ, BIAS),
            quantize_best,
        ),
    )
}
DEFAULT_RECIPE = "balanced"
