"""Recipes: named lists of steps that turn a float graph into integers.

A recipe is what `edgenet convert --recipe` names and what the manifest records, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.executor import keeps_batch
from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED
from edgenet.graph.passes.dead_channels import drop_dead_channels
from edgenet.progress import Progress
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.equalize import equalize
from edgenet.quantize.ranges import encode_tensors, observe_ranges, ranges_of
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


def quantize_fast(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """Dead channels cut out, equalized, rounded to nearest, with corrected biases."""
    return _equalized_sweep(graph, images, SweepOptions(second_moments=False), progress)


def quantize_balanced(graph: Graph, images: NDArray[np.uint8], progress: Progress) -> QuantizedGraph:
    """As fast, with weights rounded by what each layer sees."""
    return _equalized_sweep(graph, images, SweepOptions(second_moments=True), progress)


def _equalized_sweep(
    graph: Graph, images: NDArray[np.uint8], options: SweepOptions, progress: Progress
) -> QuantizedGraph:
    if not keeps_batch(graph):
        raise EdgenetError(
            "the network moves its batch axis, so photos cannot go through it together", "use --recipe minmax"
        )
    graph = drop_dead_channels(graph)
    equalized, statistics = equalize(graph, channel_statistics(graph, images, progress))
    encodings = encode_tensors(equalized, ranges_of(equalized, statistics))
    return sweep(equalized, encodings, images, options, progress)


MINMAX = "activation ranges: smallest and largest value of the calibration photos"
DEAD = "dead channels cut out where the network stays the same"
EQUALIZE = "cross-layer equalization through ReLU6, with shifts absorbed into biases"
SCALES = "weights: per channel, scale of least squared error"
BIAS = "bias correction layer by layer on quantized inputs, matching the mean after the activation"

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "minmax", (MINMAX, "weights: per channel, largest value", "rounding: to nearest"), quantize_minmax
        ),
        Recipe("fast", (DEAD, EQUALIZE, MINMAX, SCALES, "rounding: to nearest", BIAS), quantize_fast),
        Recipe(
            "balanced",
            (
                DEAD,
                EQUALIZE,
                MINMAX,
                SCALES,
                "rounding: by the second moments of each layer's input (GPTQ)",
                BIAS,
            ),
            quantize_balanced,
        ),
    )
}
DEFAULT_RECIPE = "balanced"
