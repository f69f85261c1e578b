"""Removes transposes that cancel out, or that come before a matrix whose columns can be reordered instead.

Networks written for NCHW and converted to NHWC have them at the input and before the classifier.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import FullyConnected, Reshape, Transpose
from edgenet.graph.passes.cleanup import drop_unused


def merge_transposes(graph: Graph) -> Graph:
    """Merge successive Transposes, remove idle ones, and reorder matrix columns instead of data."""
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Transpose)]:
        graph = _joined(graph, name)
    for node in graph.nodes:
        if isinstance(node.operator, FullyConnected):
            graph = _with_turned_columns(graph, node)
    return drop_unused(graph)


def _joined(graph: Graph, name: str) -> Graph:
    node = next(n for n in graph.nodes if n.name == name)
    order, before = _order(node), graph.producers().get(node.inputs[0])
    if before and isinstance(before.operator, Transpose):
        order = tuple(_order(before)[axis] for axis in order)
        node = replace(node, operator=Transpose(order), inputs=before.inputs)
    graph = graph.with_nodes(node if n.name == name else n for n in graph.nodes)
    if order != tuple(range(len(order))) or node.output == graph.output:
        return graph
    source = node.inputs[0]
    return graph.with_nodes(
        replace(n, inputs=tuple(source if i == node.output else i for i in n.inputs))
        for n in graph.nodes
        if n.name != name
    )


def _order(node: Node) -> tuple[int, ...]:
    assert isinstance(node.operator, Transpose)
    return node.operator.permutation


def _with_turned_columns(graph: Graph, node: Node) -> Graph:
    """Turn FullyConnected(Reshape(Transpose(x))) into FullyConnected(Reshape(x)), columns in x's order."""
    producers, uses = graph.producers(), graph.uses()
    flat = producers.get(node.inputs[0])
    turned = producers.get(flat.inputs[0]) if flat and isinstance(flat.operator, Reshape) else None
    if not flat or not turned or not isinstance(turned.operator, Transpose) or uses[flat.output] > 1:
        return graph
    matrix = node.operator
    assert isinstance(matrix, FullyConnected)
    if graph.shapes[flat.output] != (1, matrix.weight.shape[1]):
        return graph
    rows = len(matrix.weight)
    columns = matrix.weight.reshape(rows, *graph.shapes[turned.output])
    back = np.argsort(turned.operator.permutation)
    weight = columns.transpose(0, *(back + 1)).reshape(rows, -1)
    changed = {
        node.name: replace(node, operator=replace(matrix, weight=np.ascontiguousarray(weight))),
        flat.name: replace(flat, inputs=turned.inputs),
    }
    return graph.with_nodes(changed.get(n.name, n) for n in graph.nodes)
