"""Recipes: named lists of steps that turn a float graph into integers.

`edgenet convert --recipe` selects a recipe by name, and the manifest records its steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.executor import keeps_batch
from edgenet.graph.ir import Graph
from edgenet.progress import Progress
from edgenet.quantize.earned_steps import (
    BIAS,
    COMPENSATE,
    DEAD,
    DOUBLE,
    EQUALIZE,
    GPTQ,
    LARGEST,
    MINMAX,
    NEAREST,
    REUSE,
    ROOM,
    ROTATE,
    SCALES,
    WIDENED,
    Effort,
    Logits,
    quantize_earning,
    round_to_ranges,
)
from edgenet.quantize.integer import real_logits
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.ranges import observe_ranges


class Method(Protocol):
    """A function that quantizes a lowered float graph."""

    def __call__(
        self, graph: Graph, images: NDArray[np.uint8], progress: Progress, logits: Logits = real_logits
    ) -> QuantizedGraph:
        """Quantize the graph with photos, uint8 RGB [n, H, W, 3]; `logits` serves to judge the steps."""


@dataclass(frozen=True)
class Recipe:
    """A way of quantizing.

    Attributes:
        name: the recipe's name on the command line and in the manifest.
        steps: a short description of each step, in order.
        quantize: the function that does it.
    """

    name: str
    steps: tuple[str, ...]
    quantize: Method


def quantize_minmax(
    graph: Graph, images: NDArray[np.uint8], progress: Progress, logits: Logits = real_logits
) -> QuantizedGraph:
    """Quantize by the baseline: ranges of the smallest and largest value seen, weights rounded to nearest."""
    return round_to_ranges(graph, observe_ranges(graph, images, progress))


FAST = Effort(4, 1, statistics_photos=32, layer_photos=None, axes_steps=0, factor_steps=0, quick_photos=12)


def quantize_fast(
    graph: Graph, images: NDArray[np.uint8], progress: Progress, logits: Logits = real_logits
) -> QuantizedGraph:
    """Quantize a graph: cut out dead channels, rotate, equalize, round to nearest and correct the biases."""
    return _quantize(graph, images, FAST, progress, logits)


BALANCED = Effort(
    12, 1, statistics_photos=100, layer_photos=72, axes_steps=32, factor_steps=20, quick_photos=6
)


def quantize_balanced(
    graph: Graph, images: NDArray[np.uint8], progress: Progress, logits: Logits = real_logits
) -> QuantizedGraph:
    """Quantize like `quantize_fast`, but round weights by their inputs and compensate input errors."""
    return _quantize(graph, images, BALANCED, progress, logits)


BEST = Effort(
    24,
    2,
    statistics_photos=200,
    layer_photos=96,
    axes_steps=60,
    factor_steps=40,
    quick_photos=12,
    copies_budget=0.2,
)


def quantize_best(
    graph: Graph, images: NDArray[np.uint8], progress: Progress, logits: Logits = real_logits
) -> QuantizedGraph:
    """Quantize like `quantize_balanced`, but with better axes and with the noisiest channels doubled."""
    return _quantize(graph, images, BEST, progress, logits)


def _quantize(
    graph: Graph, images: NDArray[np.uint8], effort: Effort, progress: Progress, logits: Logits
) -> QuantizedGraph:
    if not keeps_batch(graph):
        raise EdgenetError(
            "the network moves its batch axis, so photos cannot go through it together", "use --recipe minmax"
        )
    return quantize_earning(graph, images, effort, progress, logits)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("minmax", (MINMAX, LARGEST, NEAREST), quantize_minmax),
        Recipe(
            "fast",
            (DEAD, ROTATE, EQUALIZE, MINMAX, WIDENED, ROOM, SCALES, NEAREST, BIAS),
            quantize_fast,
        ),
        Recipe(
            "balanced",
            (DEAD, ROTATE, EQUALIZE, REUSE, MINMAX, WIDENED, ROOM, COMPENSATE, SCALES, GPTQ, BIAS),
            quantize_balanced,
        ),
        Recipe(
            "best",
            (DEAD, ROTATE, EQUALIZE, REUSE, DOUBLE, MINMAX, WIDENED, ROOM, COMPENSATE, SCALES, GPTQ, BIAS),
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
