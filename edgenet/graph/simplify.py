"""Simplifies a reader's graph: runs the passes in order, removes superfluous nodes, names the rest, checks weights.

Networks written for NCHW and converted to NHWC have transposes at the input and before the classifier. They cancel
out, or come before a matrix whose columns can be reordered instead.

At the end, the softmax is removed, which the file adds itself, and a single score becomes two classes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np

from edgenet.errors import EdgenetError
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
    Activation,
    Affine,
    Concat,
    Conv2D,
    FloatArray,
    FullyConnected,
    Graph,
    Mean,
    Node,
    Operator,
    Reshape,
    Softmax,
    Transpose,
    Unary,
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


def drop_final_softmax(graph: Graph) -> Graph:
    """Remove a softmax or its logarithm at the end, so that the graph gives logits: the file adds a float softmax.

    The softmax of a softmax's logarithm is that softmax, so the file's scores are the network's in both cases.

    Raises:
        EdgenetError: the softmax is over a single value, and so always 1.
    """
    producers, uses = graph.producers(), graph.uses()
    reader, node = None, producers.get(graph.output)
    while node and isinstance(node.operator, Reshape) and uses[node.output] == 1:
        reader, node = node, producers.get(node.inputs[0])
    if node is None or not isinstance(node.operator, Softmax) or uses[node.output] > 1:
        return graph
    if graph.classes == 1:
        raise EdgenetError(
            "the network ends in a softmax over a single value, which is 1 for every picture",
            "end it in a sigmoid or in the bare logit",
        )
    if reader is None:
        return drop_unused(replace(graph, output=node.inputs[0]))
    if graph.shapes[node.output][-1] != graph.classes:
        return graph
    logits = replace(reader, inputs=node.inputs)
    return drop_unused(graph.with_nodes(logits if n is reader else n for n in graph.nodes))


def two_classes(graph: Graph) -> Graph:
    """Turn the single score of a binary classifier into logits of two classes, [negative, positive].

    The score is a sigmoid, or a bare logit x as BCEWithLogitsLoss trains it. The new logits are [0, x]: their softmax
    is [1 - sigmoid(x), sigmoid(x)]. The last layer gets a second output that is always 0.
    """
    if graph.classes != 1:
        return graph
    graph = _without_sigmoid(graph)
    chain = [graph.producers()[graph.output]]
    while isinstance(chain[-1].operator, Reshape) and graph.uses()[chain[-1].inputs[0]] == 1:
        before = graph.producers().get(chain[-1].inputs[0])
        if before is None:
            break
        chain.append(before)
    layer = chain[-1].operator
    if (
        isinstance(layer, FullyConnected | Conv2D)
        and layer.activation is Activation.NONE
        and len(layer.bias) == 1
    ):
        return _with_zero_output(graph, chain)
    select = FullyConnected(np.array([[0], [1]], np.float32), np.zeros(2, np.float32))
    name = graph.unused_name("two_classes")
    shapes = {**graph.shapes, name: (1, 2)}
    added = Node(name, select, (graph.output,), name)
    return replace(graph, nodes=(*graph.nodes, added), output=name, shapes=shapes)


def made_two_classes(graph: Graph) -> bool:
    """Return whether the graph ends in the two logits [0, x] that `two_classes` makes."""
    producers = graph.producers()
    last = producers.get(graph.output)
    while last is not None and isinstance(last.operator, Reshape):
        last = producers.get(last.inputs[0])
    if last is None or not isinstance(last.operator, FullyConnected | Conv2D) or graph.classes != 2:
        return False
    return not last.operator.weight[0].any() and last.operator.bias[0] == 0


def _without_sigmoid(graph: Graph) -> Graph:
    """Remove a sigmoid at the end, also before Reshapes."""
    reader, node = None, graph.producers()[graph.output]
    while isinstance(node.operator, Reshape) and node.inputs[0] in graph.producers():
        reader, node = node, graph.producers()[node.inputs[0]]
    if node.operator != Unary("sigmoid") or graph.uses()[node.output] > 1:
        return graph
    if reader is None:
        return drop_unused(replace(graph, output=node.inputs[0]))
    logit = replace(reader, inputs=node.inputs)
    return drop_unused(graph.with_nodes(logit if n is reader else n for n in graph.nodes))


def _with_zero_output(graph: Graph, chain: list[Node]) -> Graph:
    """Give the last layer, at the end of `chain`, a first output that is 0; the Reshapes before it get two values."""
    *reshapes, last = chain
    operator = last.operator
    assert isinstance(operator, FullyConnected | Conv2D)
    weight = np.concatenate([np.zeros_like(operator.weight), operator.weight])
    bias = np.concatenate([np.zeros_like(operator.bias), operator.bias])
    changed = {last.name: replace(last, operator=replace(operator, weight=weight, bias=bias))}
    shapes = {last.output: (*graph.shapes[last.output][:-1], 2)}
    for node in reshapes:
        shapes[node.output] = (*graph.shapes[node.output][:-1], 2)
        changed[node.name] = replace(node, operator=Reshape(shapes[node.output]))
    return graph.with_nodes((changed.get(node.name, node) for node in graph.nodes), shapes)
