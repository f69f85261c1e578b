"""Counts a graph's cost: mult-adds, parameters and the peak memory of its activations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgenet.graph.ir import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected, Graph, Node


@dataclass(frozen=True)
class Cost:
    """The cost of a graph for one picture.

    Attributes:
        mult_adds: multiplications of the convolutions and fully connected layers (as counted in
            arXiv 1704.04861, section 3.1); elementwise work is left out.
        parameters: weights and biases that the file holds, with batch norm folded.
        peak_activation_values: the most activation values in memory at the same time if no operator works in
            place; a value takes one byte in int8, four in float32.
    """

    mult_adds: int
    parameters: int
    peak_activation_values: int


def cost(graph: Graph) -> Cost:
    """Count a graph's cost for one picture."""
    weighted = [node.operator for node in graph.nodes if isinstance(node.operator, WEIGHTED)]
    return Cost(
        mult_adds=sum(node_mult_adds(graph, node) for node in graph.nodes),
        parameters=sum(operator.weight.size + operator.bias.size for operator in weighted),
        peak_activation_values=_peak(graph),
    )


def node_mult_adds(graph: Graph, node: Node) -> int:
    """Return a node's mult-adds: its output values times the weights each one uses; 0 without weights."""
    outputs = math.prod(graph.shapes[node.output])
    match node.operator:
        case Conv2D(weight=weight):
            return outputs * math.prod(weight.shape[1:])
        case DepthwiseConv2D(weight=weight):
            return outputs * math.prod(weight.shape[1:3])
        case FullyConnected(weight=weight):
            return outputs * weight.shape[1]
    return 0


def _peak(graph: Graph) -> int:
    last_use = {name: step for step, node in enumerate(graph.nodes) for name in node.inputs}
    last_use[graph.output] = len(graph.nodes)
    alive = {graph.input}
    peak = 0
    for step, node in enumerate(graph.nodes):
        alive.add(node.output)
        peak = max(peak, sum(math.prod(graph.shapes[name]) for name in alive))
        alive = {name for name in alive if last_use.get(name, -1) > step}
    return peak
