"""Folds x * scale + offset (batch norm, normalization, biases) into the operators around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, Affine, Conv2D, DepthwiseConv2D, FullyConnected, Weighted


def fold_affine(graph: Graph) -> Graph:
    """Fold every Affine into the operator before it or all operators after it, wherever that is exact."""
    while True:
        folded = _fold_first(graph)
        if folded is None:
            return graph
        graph = folded


def _fold_first(graph: Graph) -> Graph | None:
    producers, uses = graph.producers(), graph.uses()
    for node in graph.nodes:
        if not isinstance(node.operator, Affine):
            continue
        before = producers.get(node.inputs[0])
        if before and uses[before.output] == 1 and (merged := _after(before, node.operator)):
            return _merge(graph, before, node, merged)
        consumers = [other for other in graph.nodes if node.output in other.inputs]
        if (
            node.output != graph.output
            and consumers
            and all(takes_affine(c, node.operator) for c in consumers)
        ):
            return _fold_forward(graph, node, consumers)
    return None


def _after(before: Node, affine: Affine) -> Weighted | Affine | None:
    """Return one operator for `before` followed by an Affine, or None if they cannot be merged."""
    operator = before.operator
    if isinstance(operator, Affine):
        return Affine(operator.scale * affine.scale, operator.offset * affine.scale + affine.offset)
    if not isinstance(operator, WEIGHTED) or operator.activation.value != "none":
        return None
    scale, offset = affine.scale.astype(np.float64), affine.offset.astype(np.float64)
    # the output channel is a weight's first axis, except for depthwise, where it is the last
    factors = scale if isinstance(operator, DepthwiseConv2D) else _as_first_axis(scale, operator.weight.ndim)
    bias = (operator.bias * scale + offset).astype(np.float32)
    return replace(operator, weight=(operator.weight * factors).astype(np.float32), bias=bias)


def _as_first_axis(vector: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return vector.reshape(-1, *(1,) * (rank - 1))


def _merge(graph: Graph, before: Node, node: Node, operator: Weighted | Affine) -> Graph:
    merged = replace(before, operator=operator, output=node.output)
    nodes = [merged if other is before else other for other in graph.nodes if other is not node]
    return graph.with_nodes(nodes)


def takes_affine(consumer: Node, affine: Affine) -> bool:
    """Return whether an Affine before this node can be folded into it exactly.

    An offset cannot be folded if the convolution pads: its zeros are added after the offset.
    """
    operator = consumer.operator
    if isinstance(operator, FullyConnected):
        return True
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        return not any(operator.pads) or not np.any(affine.offset)
    return False


def _fold_forward(graph: Graph, node: Node, consumers: list[Node]) -> Graph:
    source = node.inputs[0]
    affine = node.operator
    assert isinstance(affine, Affine)
    channels = graph.shapes[source][-1]
    nodes = []
    for other in graph.nodes:
        if other is node:
            continue
        if other in consumers:
            other = replace(
                other, operator=fold_into_input(other.operator, affine, channels), inputs=(source,)
            )
        nodes.append(other)
    return graph.with_nodes(nodes)


def fold_into_input(operator: object, affine: Affine, channels: int) -> Weighted:
    """Return the operator that gives for x what `operator` gives for x * scale + offset (away from padding).

    Args:
        operator: a convolution, depthwise convolution or fully connected layer.
        affine: the scale and offset, [C] or [1] each.
        channels: C, the number of channels of x.
    """
    assert isinstance(operator, WEIGHTED)
    scale = np.broadcast_to(affine.scale.astype(np.float64), (channels,))
    offset = np.broadcast_to(affine.offset.astype(np.float64), (channels,))
    weight = operator.weight.astype(np.float64)
    match operator:
        case FullyConnected():
            bias = weight @ offset
        case Conv2D():
            # each group reads only its own part of the channels
            size = channels // operator.groups
            group = np.arange(weight.shape[0]) // (weight.shape[0] // operator.groups)
            part = group[:, None] * size + np.arange(size)
            bias = np.einsum("ohwi,oi->o", weight, offset[part])
            scale = scale[part][:, None, None, :]
        case DepthwiseConv2D():
            multiplier = weight.shape[3] // channels
            scale, offset = np.repeat(scale, multiplier), np.repeat(offset, multiplier)
            bias = weight.sum((0, 1, 2)) * offset
    return replace(
        operator,
        weight=(weight * scale).astype(np.float32),
        bias=(operator.bias + bias).astype(np.float32),
    )
