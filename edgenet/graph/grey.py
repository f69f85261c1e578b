"""Networks that take grey pictures: their file takes RGB like every other, and its first layer mixes the channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Affine, Conv2D, Graph, Node
from edgenet.graph.shapes import GraphBuilder

LUMA = np.array((0.299, 0.587, 0.114), np.float32)
"""The shares of red, green and blue in grey (ITU-R BT.601), as Pillow and OpenCV convert photos to grey."""


def add_grey(builder: GraphBuilder, source: str) -> str:
    """Add the layer that makes a grey picture [1, H, W, 1] of the RGB input; return its output."""
    return builder.add(Conv2D(LUMA.reshape(1, 1, 1, 3), np.zeros(1, np.float32)), [source], f"{source}/grey")


def fold_grey(graph: Graph) -> Graph:
    """Let the first layer read RGB: what it does to grey, it does to each channel times its share in grey.

    A normalization between the two moves before the mixing, because the shares add up to 1.
    """
    mixing = next((node for node in graph.nodes if mixes_to_grey(node)), None)
    if mixing is None:
        return graph
    readers = graph.readers(mixing.output)
    while len(readers) == 1 and isinstance(readers[0].operator, Affine):
        graph = _swapped(graph, mixing, readers[0])
        mixing = next(node for node in graph.nodes if mixes_to_grey(node))
        readers = graph.readers(mixing.output)
    if mixing.output == graph.output or not all(_can_read_rgb(node) for node in readers):
        return graph
    nodes = (_reading_rgb(node, mixing.inputs) if node in readers else node for node in graph.nodes)
    return graph.with_nodes(node for node in nodes if node is not mixing)


def mixes_to_grey(node: Node) -> bool:
    """Return whether the node is the layer that `add_grey` adds."""
    operator = node.operator
    return (
        isinstance(operator, Conv2D)
        and operator.weight.shape == (1, 1, 1, 3)
        and np.array_equal(operator.weight.reshape(-1), LUMA)
        and not np.any(operator.bias)
    )


def _swapped(graph: Graph, mixing: Node, affine: Node) -> Graph:
    """Put a scaling of the grey picture before the mixing."""
    scaled = graph.unused_name(f"{mixing.output}/scaled")
    first = replace(affine, inputs=mixing.inputs, output=scaled)
    second = replace(mixing, inputs=(scaled,), output=affine.output)
    swapped = [{mixing.name: first, affine.name: second}.get(node.name, node) for node in graph.nodes]
    return graph.with_nodes(swapped, {scaled: graph.shapes[mixing.inputs[0]]})


def _can_read_rgb(node: Node) -> bool:
    return isinstance(node.operator, Conv2D) and node.operator.groups == 1


def _reading_rgb(node: Node, inputs: tuple[str, ...]) -> Node:
    operator = node.operator
    assert isinstance(operator, Conv2D)
    weight = np.ascontiguousarray(operator.weight * LUMA)
    return replace(node, operator=replace(operator, weight=weight), inputs=inputs)
