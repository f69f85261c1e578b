"""What a graph costs: mult-adds, parameters and the memory its activations need at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected


@dataclass(frozen=True)
class Cost:
    """Attributes:
    mult_adds: multiplications of the convolutions and fully connected layers for one picture
        (as counted in arXiv 1704.04861, section 3.1); elementwise work is left out.
    parameters: weights and biases that the file holds, batch norm folded.
    peak_activation_values: the most values that are alive at the same time, when no operator works in place;
        times one byte for int8, four for float32.
    """

    mult_adds: int
    parameters: int
    peak_activation_values: int


def cost(graph: Graph) -> Cost:
    """Counts a graph's cost for one picture."""
    weighted = [node.operator for node in graph.nodes if isinstance(node.operator, WEIGHTED)]
    return Cost(
        mult_adds=sum(node_mult_adds(graph, node) for node in graph.nodes),
        parameters=sum(operator.weight.size + operator.bias.size for operator in weighted),
        peak_activation_values=_peak(graph),
    )


def node_mult_adds(graph: Graph, node: Node) -> int:
    """Mult-adds of one node: each output value costs as many as its window holds."""
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
