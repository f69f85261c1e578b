"""A graph with its channels rotated and equalized, as recipes do it, for the tests of other rooms' tools."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph
from edgenet.quantize.earned_steps import observe
from edgenet.quantize.equalize import equalize
from edgenet.quantize.recipes import BALANCED
from edgenet.quantize.rotate import rotate


def rotate_and_equalize(graph: Graph, images: NDArray[np.uint8]) -> Graph:
    """Return a graph of the same function with other channels."""
    seen = observe(graph, images, BALANCED)
    rotated, sensitivity = rotate(graph, seen.statistics, seen.joint, seen.sensitivity)
    return equalize(rotated, seen.statistics, sensitivity)
