"""Fusing activations into the operators before them, and recognising hard-swish where it was written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import FUSING, Activation, Affine, Binary, Unary


def fuse_activations(graph: Graph) -> Graph:
    """Moves relu and relu6 into the convolution, fully connected or elementwise operator that they follow."""
    for node in graph.nodes:
        if not (isinstance(node.operator, Unary) and node.operator.kind in ("relu", "relu6")):
            continue
        before = graph.producers().get(node.inputs[0])
        if before is None or not isinstance(before.operator, FUSING):
            continue
        if before.operator.activation is not Activation.NONE or graph.uses()[before.output] > 1:
            continue
        operator = replace(before.operator, activation=Activation(node.operator.kind))
        fused = replace(before, operator=operator, output=node.output)
        graph = graph.with_nodes([fused if n is before else n for n in graph.nodes if n is not node])
    return graph


def recognise_hard_functions(graph: Graph) -> Graph:
    """relu6(x + 3) / 6 becomes hard_sigmoid, and x * hard_sigmoid(x) becomes hard_swish (arXiv 1905.02244, 5.2)."""
    return _recognise_hard_swish(_recognise_hard_sigmoid(graph))


def _recognise_hard_sigmoid(graph: Graph) -> Graph:
    producers = graph.producers()
    for node in graph.nodes:
        middle = producers.get(node.inputs[0])
        first = producers.get(middle.inputs[0]) if middle else None
        if (
            first
            and middle
            and _is_affine(node, 1 / 6, 0)
            and _is(middle, "relu6")
            and _is_affine(first, 1, 3)
        ):
            whole = replace(node, operator=Unary("hard_sigmoid"), inputs=first.inputs)
            graph = graph.with_nodes([whole if n is node else n for n in graph.nodes])
    return graph


def _recognise_hard_swish(graph: Graph) -> Graph:
    producers = graph.producers()
    for node in graph.nodes:
        if not (isinstance(node.operator, Binary) and node.operator.kind == "mul"):
            continue
        for x, other in (node.inputs, node.inputs[::-1]):
            gate = producers.get(other)
            if gate and _is(gate, "hard_sigmoid") and gate.inputs[0] == x:
                whole = replace(node, operator=Unary("hard_swish"), inputs=(x,))
                graph = graph.with_nodes([whole if n is node else n for n in graph.nodes])
                break
    return graph


def _is(node: Node, kind: str) -> bool:
    return isinstance(node.operator, Unary) and node.operator.kind == kind


def _is_affine(node: Node, scale: float, offset: float) -> bool:
    operator = node.operator
    return (
        isinstance(operator, Affine)
        and bool(np.allclose(operator.scale, scale, rtol=1e-4))
        and bool(np.allclose(operator.offset, offset, atol=1e-6))
    )
