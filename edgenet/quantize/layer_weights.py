"""Turn an int8 file's weights back into real numbers, for its own graph or layers of the float graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, DepthwiseConv2D, Operator, Weighted
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.matching import origins
from edgenet.quantize.weights import output_axis, per_channel

SAME_GAIN = 0.02
"""Int8 weights count as the float weights, rounded, if the median channel's gain differs from 1 by less than
this. Rounding alone moves the gain by 0.003."""


def dequantized(quantized: QuantizedGraph) -> Graph:
    """Return the file's graph with its int8 weights and int32 biases as real numbers, to be run in float."""
    nodes = (replace(node, operator=_real(quantized, node)) for node in quantized.graph.nodes)
    return quantized.graph.with_nodes(nodes)


def swapped_layers(
    real: Graph, reference: Graph, matched: Mapping[str, str]
) -> dict[str, tuple[Node, Operator | None]] | None:
    """Find each layer's node in the float graph, and that node's operator with the file's weights put in.

    Args:
        real: the file's graph with real weights, from `dequantized`.
        reference: the float graph.
        matched: maps the file's tensors to the float graph's, from `match_tensors`.

    Returns:
        A dictionary by the file's node names. The operator is None for a layer that reads the picture,
        because the two graphs may scale the picture differently. The whole result is None if some layer has
        no counterpart, or other channels because the file was equalized.
    """
    producers, origin = reference.producers(), origins(real)
    found: dict[str, tuple[Node, Operator | None]] = {}
    for node in real.nodes:
        if not isinstance(node.operator, WEIGHTED) or origin[node.output] != node.output:
            continue
        theirs = producers.get(matched.get(node.output, ""))
        if theirs is None or not isinstance(theirs.operator, WEIGHTED):
            return None
        if origin[node.inputs[0]] == real.input:
            found[node.name] = theirs, None
        elif _same_channels(node.operator, theirs.operator):
            found[node.name] = theirs, _with_weights(theirs.operator, node.operator)
        else:
            return None
    return found


def _real(quantized: QuantizedGraph, node: Node) -> Operator:
    weights, operator = quantized.weights.get(node.name), node.operator
    if weights is None or not isinstance(operator, WEIGHTED):
        return operator
    scales = weights.scales.astype(np.float64)
    bias = weights.bias * (np.float64(quantized.encodings[node.inputs[0]].scale) * scales)
    values = weights.values * per_channel(operator, weights.scales)
    return replace(operator, weight=values.astype(np.float32), bias=bias.astype(np.float32))


def _with_weights(operator: Weighted, other: Weighted) -> Weighted:
    return replace(operator, weight=other.weight.reshape(operator.weight.shape), bias=other.bias)


def _same_channels(ours: Weighted, theirs: Weighted) -> bool:
    """Whether the two layers' weights are equal up to rounding, judged by each output channel's gain."""
    depthwise = isinstance(ours, DepthwiseConv2D), isinstance(theirs, DepthwiseConv2D)
    if depthwise[0] != depthwise[1] or ours.weight.size != theirs.weight.size:
        return False
    if len(ours.bias) != len(theirs.bias):
        return False
    a, b = (np.moveaxis(o.weight, output_axis(o), 0).reshape(len(o.bias), -1) for o in (ours, theirs))
    energy = np.square(b, dtype=np.float64).sum(1)
    alive = energy > 0
    gains = (a.astype(np.float64) * b).sum(1)[alive] / energy[alive]
    return bool(np.median(np.abs(gains - 1)) < SAME_GAIN) if alive.any() else True
