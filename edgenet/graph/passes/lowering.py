"""Replaces operators that a .tflite file lacks by ones that it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node, Shape
from edgenet.graph.operators import Activation, Affine, DepthwiseConv2D, Reshape, Unary


def is_hard_sigmoid(node: Node) -> bool:
    """Return whether this node is a hard_sigmoid, which .tflite files lack."""
    return isinstance(node.operator, Unary) and node.operator.kind == "hard_sigmoid"


def lower_hard_sigmoid(graph: Graph) -> Graph:
    """Replace hard_sigmoid(x) by relu6(x + 3) / 6, made of two Affines and a relu6."""
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if not is_hard_sigmoid(node):
            nodes.append(node)
            continue
        plus3, clipped = f"{node.output}/plus3", f"{node.output}/relu6"
        shapes |= {plus3: graph.shapes[node.output], clipped: graph.shapes[node.output]}
        nodes += [
            Node(f"{node.name}/plus3", _affine(1, 3), node.inputs, plus3),
            Node(f"{node.name}/relu6", Unary("relu6"), (plus3,), clipped),
            Node(node.name, _affine(1 / 6, 0), (clipped,), node.output),
        ]
    return graph.with_nodes(nodes, shapes)


def _affine(scale: float, offset: float) -> Affine:
    return Affine(np.full(1, scale, np.float32), np.full(1, offset, np.float32))


def lower_affine(graph: Graph) -> Graph:
    """Replace every Affine that could not be folded by a depthwise 1x1 convolution.

    This is one operator instead of a MUL and an ADD, and its int8 weights are quantized per channel.
    """
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            nodes.append(node)
            continue
        shape = graph.shapes[node.inputs[0]]
        operator = _as_depthwise(node.operator, shape[-1])
        if len(shape) == 4:
            nodes.append(replace(node, operator=operator))
            continue
        before, after = f"{node.output}/as_picture", f"{node.output}/scaled"
        picture = (1, 1, int(np.prod(shape[:-1])), shape[-1])
        shapes |= {before: picture, after: picture}
        nodes += [
            Node(before, Reshape(picture), node.inputs, before),
            Node(node.name, operator, (before,), after),
            Node(f"{node.name}/as_vector", Reshape(shape), (after,), node.output),
        ]
    return graph.with_nodes(nodes, shapes)


def _as_depthwise(affine: Affine, channels: int) -> DepthwiseConv2D:
    weight = np.broadcast_to(affine.scale, (channels,)).reshape(1, 1, 1, channels)
    bias = np.broadcast_to(affine.offset, (channels,))
    return DepthwiseConv2D(weight.copy(), bias.copy(), activation=Activation.NONE)
