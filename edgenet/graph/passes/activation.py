"""Fuses activations into the operators before them, and recognises hard-swish made of several operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import FUSING, Activation, Affine, Binary, Unary


def fuse_activations(graph: Graph) -> Graph:
    """Move relu and relu6 into the convolution, fully connected or elementwise operator that they follow."""
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
    """Replace relu6(x + 3) / 6 by hard_sigmoid, x * hard_sigmoid(x) by hard_swish (arXiv 1905.02244, 5.2)."""
    return _recognise_hard_swish(_recognise_hard_sigmoid(graph))


def _recognise_hard_sigmoid(graph: Graph) -> Graph:
    producers = graph.producers()
    for node in graph.nodes:
        x = _gated(producers, node.inputs[0])
        if x is not None and _is_affine(node, 1 / 6, 0):
            graph = _put(graph, node, "hard_sigmoid", x)
    return graph


def _gated(producers: Mapping[str, Node], name: str) -> str | None:
    """Return x if the tensor `name` is relu6(x + 3), else None."""
    clipped = producers.get(name)
    shifted = producers.get(clipped.inputs[0]) if clipped and _is(clipped, "relu6") else None
    return shifted.inputs[0] if shifted and _is_affine(shifted, 1, 3) else None


def _put(graph: Graph, node: Node, kind: str, x: str) -> Graph:
    whole = replace(node, operator=Unary(kind), inputs=(x,))
    return graph.with_nodes([whole if n is node else n for n in graph.nodes])


def _recognise_hard_swish(graph: Graph) -> Graph:
    """Replace x * hard_sigmoid(x) and (x * relu6(x + 3)) / 6 by hard_swish."""
    producers = graph.producers()
    for node in graph.nodes:
        product = producers.get(node.inputs[0]) if _is_affine(node, 1 / 6, 0) else node
        if product is None or not (isinstance(product.operator, Binary) and product.operator.kind == "mul"):
            continue
        for x, other in (product.inputs, product.inputs[::-1]):
            gate = producers.get(other)
            whole = gate.inputs[0] if gate and _is(gate, "hard_sigmoid") else None
            if x == (whole if product is node else _gated(producers, other)):
                graph = _put(graph, node, "hard_swish", x)
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
