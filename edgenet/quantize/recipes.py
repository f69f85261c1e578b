"""Recipes: named lists of steps that turn a float graph into integers.

A recipe is what `edgenet convert --recipe` names and what the manifest records, step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph
from edgenet.graph.operators import WEIGHTED
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.ranges import encode_tensors, observe_ranges
from edgenet.quantize.weights import quantize_weights

Progress = Callable[[int], None]
Method = Callable[[Graph, NDArray[np.uint8], Progress | None], QuantizedGraph]


@dataclass(frozen=True)
class Recipe:
    """A way of quantizing.

    Attributes:
        name: as the command line and the manifest have it.
        steps: what is done, in order, in the field's words.
        quantize: does it: (lowered float graph, uint8 RGB photos [n, H, W, 3], progress by photos).
    """

    name: str
    steps: tuple[str, ...]
    quantize: Method


def quantize_minmax(
    graph: Graph, images: NDArray[np.uint8], progress: Progress | None = None
) -> QuantizedGraph:
    """Activation ranges are the smallest and largest value seen; weights are rounded to nearest."""
    encodings = encode_tensors(graph, observe_ranges(graph, images, progress))
    weights = {
        node.name: quantize_weights(node.operator, encodings[node.inputs[0]].scale)
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED)
    }
    return QuantizedGraph(graph, encodings, weights)


RECIPES = {
    "minmax": Recipe(
        "minmax", ("activation ranges: min/max", "weights: per channel, round to nearest"), quantize_minmax
    ),
}
DEFAULT_RECIPE = "minmax"
