"""Simplifies a reader's graph: runs the passes in order, removes superfluous nodes, names the rest, checks weights.

Networks written for NCHW and converted to NHWC have transposes at the input and before the classifier. They
cancel out, or come before a matrix whose columns can be reordered instead.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np

from edgenet.errors import EdgenetError
from edgenet.graph.class_scores import drop_final_softmax, two_classes
from edgenet.graph.fold import (
    absorb_padding,
    absorb_scaling,
    fold_affine,
    fold_grey,
    fuse_activations,
    normalize_pixels,
)
from edgenet.graph.ir import (
    WEIGHTED,
    Affine,
    Concat,
    FloatArray,
    FullyConnected,
    Graph,
    Mean,
    Node,
    Operator,
    Reshape,
    Transpose,
    drop_unused,
)
from edgenet.graph.recognise import (
    recognise_gelu,
    recognise_hard_functions,
    recognise_standardize,
    standardize_before_moves,
)
from edgenet.zoo.classifier import Normalization


@np.errstate(all="ignore")  # check_finite reports overflow with the layer's name
def simplify(graph: Graph, normalization: Normalization | None) -> Graph:
    """Return the smallest equal graph that takes pixels and ends in logits.

    Args:
        graph: from a reader.
        normalization: the one used in training; None for a graph that takes pixels already.

    Raises:
        EdgenetError: a layer's weights hold NaN or infinity, or the network gives a softmax over a single value.
    """
    graph = drop_unused(drop_final_softmax(graph))
    graph = merge_transposes(merge_reshapes(standardize_before_moves(recognise_standardize(graph))))
    if normalization is not None:
        graph = normalize_pixels(*absorb_scaling(graph, normalization))
    graph = absorb_padding(graph)
    graph = recognise_gelu(recognise_hard_functions(graph))
    graph = fold_affine(fold_grey(drop_unused(graph)))
    graph = two_classes(fuse_activations(graph))
    graph = name_after_modules(merge_concats(merge_reshapes(graph)))
    check_finite(graph)
    return graph


def merge_transposes(graph: Graph) -> Graph:
    """Merge successive Transposes, remove idle ones, and reorder matrix columns instead of data."""
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Transpose)]:
        graph = _merge_transpose(graph, graph.node(name))
    for node in graph.nodes:
        if isinstance(node.operator, FullyConnected):
            graph = _reorder_columns(graph, node)
    return drop_unused(graph)


def _merge_transpose(graph: Graph, node: Node) -> Graph:
    order, before = _order(node), graph.producers().get(node.inputs[0])
    if before and isinstance(before.operator, Transpose):
        order = tuple(_order(before)[axis] for axis in order)
        node = replace(node, operator=Transpose(order), inputs=before.inputs)
    graph = graph.with_nodes(node if n.name == node.name else n for n in graph.nodes)
    if order != tuple(range(len(order))) or node.output == graph.output:
        return graph
    return _bypass(graph, node)


def _bypass(graph: Graph, node: Node) -> Graph:
    """Remove a node that changes nothing: its readers read its input instead."""
    source = node.inputs[0]
    return graph.with_nodes(
        replace(n, inputs=tuple(source if i == node.output else i for i in n.inputs))
        for n in graph.nodes
        if n.name != node.name
    )


def _order(node: Node) -> tuple[int, ...]:
    assert isinstance(node.operator, Transpose)
    return node.operator.permutation


def _reorder_columns(graph: Graph, node: Node) -> Graph:
    """Turn FullyConnected(Reshape(Transpose(x))) into FullyConnected(Reshape(x)), columns in x's order."""
    producers, uses = graph.producers(), graph.uses()
    flat = producers.get(node.inputs[0])
    transposed = producers.get(flat.inputs[0]) if flat and isinstance(flat.operator, Reshape) else None
    if not flat or not transposed or not isinstance(transposed.operator, Transpose) or uses[flat.output] > 1:
        return graph
    matrix = node.operator
    assert isinstance(matrix, FullyConnected)
    if graph.shapes[flat.output] != (1, matrix.weight.shape[1]):
        return graph
    rows = len(matrix.weight)
    columns = matrix.weight.reshape(rows, *graph.shapes[transposed.output])
    back = np.argsort(transposed.operator.permutation)
    weight = columns.transpose(0, *(back + 1)).reshape(rows, -1)
    changed = {
        node.name: replace(node, operator=replace(matrix, weight=np.ascontiguousarray(weight))),
        flat.name: replace(flat, inputs=transposed.inputs),
    }
    return graph.with_nodes(changed.get(n.name, n) for n in graph.nodes)


def merge_concats(graph: Graph) -> Graph:
    """Merge each Concat with the Concats before it that use the same axis and have no other reader."""
    uses, made = graph.uses(), graph.producers()
    for node in graph.nodes:
        if isinstance(node.operator, Concat):
            parts = [_parts(made.get(name), node.operator, name, uses) for name in node.inputs]
            made[node.output] = replace(node, inputs=tuple(chain.from_iterable(parts)))
    return drop_unused(graph.with_nodes(made.values()))


def _parts(before: Node | None, operator: Concat, name: str, uses: Counter[str]) -> tuple[str, ...]:
    """Return the inputs of the Concat that makes `name` if it can be merged, else `name` alone."""
    if before is None or before.operator != operator or uses[name] > 1:
        return (name,)
    return before.inputs


def merge_reshapes(graph: Graph) -> Graph:
    """Merge each Reshape with the Reshape or Mean before it, and remove each that keeps the shape."""
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Reshape)]:
        graph = _merge_reshape(graph, graph.node(name))
    return drop_unused(graph)


def _merge_reshape(graph: Graph, node: Node) -> Graph:
    source, shape = node.inputs[0], graph.shapes[node.output]
    before = graph.producers().get(source)
    if shape == graph.shapes[source] and node.output != graph.output:
        return _bypass(graph, node)
    if before and isinstance(before.operator, Reshape):
        joined = replace(node, inputs=before.inputs)
        # together, the two may keep the shape
        return _merge_reshape(graph.with_nodes(joined if n is node else n for n in graph.nodes), joined)
    vector = len(shape) == 2 and shape[0] == 1
    if before and isinstance(before.operator, Mean) and vector and graph.uses()[source] == 1:
        mean = replace(before, operator=Mean(keep_dims=False), output=node.output)
        return graph.with_nodes(mean if n is before else n for n in graph.nodes if n is not node)
    return graph


def name_after_modules(graph: Graph) -> Graph:
    """Name every node and its tensor after its module's path: "features.0/conv", not ".../activation/Clip".

    Exporters repeat a module's name in its children ("features/features.0") and append the operator's name;
    both are removed.
    """
    names: dict[str, str] = {graph.input: graph.input}
    taken = {graph.input}
    for node in graph.nodes:
        name, number = _short(node.name), 1
        while name in taken:
            number += 1
            name = f"{_short(node.name)}_{number}"
        taken.add(name)
        names[node.output] = name
    nodes = tuple(
        replace(
            node,
            name=names[node.output],
            inputs=tuple(names[i] for i in node.inputs),
            output=names[node.output],
        )
        for node in graph.nodes
    )
    shapes = {names[name]: shape for name, shape in graph.shapes.items() if name in names}
    return replace(graph, nodes=nodes, output=names[graph.output], shapes=shapes)


OPERATOR_SUFFIX = re.compile(r"/[A-Z][A-Za-z]*(_\d+)?$")


def _short(name: str) -> str:
    parts = OPERATOR_SUFFIX.sub("", name).split("/")
    kept = [
        part for part, child in zip(parts, [*parts[1:], ""], strict=True) if not child.startswith(f"{part}.")
    ]
    return "/".join(kept)


def check_finite(graph: Graph) -> None:
    """Check every constant of the network.

    Raises:
        EdgenetError: a layer holds NaN or infinity; the message names the layer and counts these values.
    """
    for node in graph.nodes:
        for what, array in _constants(node.operator).items():
            bad = count_not_finite(array)
            if bad:
                raise EdgenetError(
                    f"the {what} of '{node.name}' hold {bad} among {array.size} values",
                    "train or export the network again; its batch normalization may have diverged",
                )


def _constants(operator: Operator) -> dict[str, FloatArray]:
    if isinstance(operator, WEIGHTED):
        return {"weights": operator.weight, "biases": operator.bias}
    if isinstance(operator, Affine):
        return {"factors": operator.scale, "offsets": operator.offset}
    return {}


def count_not_finite(array: FloatArray) -> str:
    """Return how many values are NaN or infinite, such as "3 NaN and 1 infinite"; empty if all are finite."""
    if np.isfinite(array).all():
        return ""
    counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
    return " and ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def all_zero_layers(graph: Graph) -> tuple[str, ...]:
    """Return the names of the layers whose weights are all zero: they give their biases for every picture."""
    return tuple(
        node.name
        for node in graph.nodes
        if isinstance(node.operator, WEIGHTED) and not node.operator.weight.any()
    )
