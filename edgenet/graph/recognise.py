"""Recognises functions that exporters write as several operators: hard_sigmoid, hard_swish, GELU, group norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import (
    Affine,
    Binary,
    Graph,
    Mean,
    Node,
    Reduce,
    Reshape,
    Standardize,
    Transpose,
    Unary,
    drop_unused,
)


def recognise_hard_functions(graph: Graph) -> Graph:
    """Replace relu6(x + 3) / 6 by hard_sigmoid, x * hard_sigmoid(x) by hard_swish (arXiv 1905.02244, 5.2)."""
    return _recognise_hard_swish(_recognise_hard_sigmoid(graph))


def _recognise_hard_sigmoid(graph: Graph) -> Graph:
    producers = graph.producers()
    for node in graph.nodes:
        x = _input_of_shifted_relu6(producers, node.inputs[0])
        if x is not None and _is_affine(node, 1 / 6, 0):
            graph = _replace_with_unary(graph, node, "hard_sigmoid", x)
    return graph


def _input_of_shifted_relu6(producers: Mapping[str, Node], name: str) -> str | None:
    """Return x if the tensor `name` is relu6(x + 3), else None."""
    clipped = producers.get(name)
    shifted = producers.get(clipped.inputs[0]) if clipped and _is_unary(clipped, "relu6") else None
    return shifted.inputs[0] if shifted and _is_affine(shifted, 1, 3) else None


def _recognise_hard_swish(graph: Graph) -> Graph:
    """Replace x * hard_sigmoid(x) and (x * relu6(x + 3)) / 6 by hard_swish."""
    producers = graph.producers()
    for node in graph.nodes:
        product = producers.get(node.inputs[0]) if _is_affine(node, 1 / 6, 0) else node
        if product is None or not (isinstance(product.operator, Binary) and product.operator.kind == "mul"):
            continue
        for x, other in (product.inputs, product.inputs[::-1]):
            gate = producers.get(other)
            whole = gate.inputs[0] if gate and _is_unary(gate, "hard_sigmoid") else None
            if x == (whole if product is node else _input_of_shifted_relu6(producers, other)):
                graph = _replace_with_unary(graph, node, "hard_swish", x)
                break
    return graph


def _replace_with_unary(graph: Graph, node: Node, kind: str, x: str) -> Graph:
    whole = replace(node, operator=Unary(kind), inputs=(x,))
    return graph.with_nodes([whole if n is node else n for n in graph.nodes])


def _is_unary(node: Node, kind: str) -> bool:
    return isinstance(node.operator, Unary) and node.operator.kind == kind


def _is_affine(node: Node, scale: float, offset: float) -> bool:
    operator = node.operator
    return (
        isinstance(operator, Affine)
        and bool(np.allclose(operator.scale, scale, rtol=1e-4))
        and bool(np.allclose(operator.offset, offset, atol=1e-6))
    )


def recognise_gelu(graph: Graph) -> Graph:
    """Replace x * (1 + erf(x / sqrt(2))) / 2 by gelu; the half may stand at any of the three places."""
    for erf in [node for node in graph.nodes if _is_unary(node, "erf")]:
        producers = graph.producers()
        inner = producers.get(erf.inputs[0])
        if inner is None or not _is_affine(inner, 2**-0.5, 0):
            continue
        x = inner.inputs[0]
        whole = _end_of_gelu(graph, producers, erf, x)
        if whole is not None:
            graph = _replace_with_unary(graph, whole, "gelu", x)
    return graph


def _end_of_gelu(graph: Graph, producers: Mapping[str, Node], erf: Node, x: str) -> Node | None:
    """Return the last node of x * (1 + erf(...)) / 2, or None if the nodes after erf compute something else."""
    gate, halves = erf, 0
    while (reader := _only_reader(graph, gate)) is not None and isinstance(reader.operator, Affine):
        if (gate is erf and _is_affine(reader, 0.5, 0.5)) or (gate is not erf and _is_affine(reader, 0.5, 0)):
            halves += 1
        elif gate is not erf or not _is_affine(reader, 1, 1):
            return None
        gate = reader
    if gate is erf or reader is None or not _is_product(reader):
        return None
    other = next((name for name in reader.inputs if name != gate.output), None)
    factor = producers.get(other or "")
    if factor is not None and _is_affine(factor, 0.5, 0) and factor.inputs[0] == x:
        halves += 1
    elif other != x:
        return None
    after = _only_reader(graph, reader)
    if halves == 0 and after is not None and _is_affine(after, 0.5, 0):
        return after
    return reader if halves == 1 else None


def _only_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.readers(node.output)
    return readers[0] if len(readers) == 1 and node.output != graph.output else None


def _is_product(node: Node) -> bool:
    return node.operator == Binary("mul")


def recognise_standardize(graph: Graph) -> Graph:
    """Replace (x - mean(x)) / sqrt(mean((x - mean(x))**2) + epsilon) by a Standardize.

    Older ONNX and every .tflite write a layer norm so; .tflite multiplies by 1 / sqrt instead.
    """
    for name in [node.name for node in graph.nodes]:
        producers, node = graph.producers(), graph.node(name)
        found = _standardize(producers, node)
        if found is not None:
            operator, x = found
            whole = replace(node, operator=operator, inputs=(x,))
            graph = drop_unused(graph.with_nodes(whole if n is node else n for n in graph.nodes))
    return graph


def _standardize(producers: Mapping[str, Node], node: Node) -> tuple[Standardize, str] | None:
    """Return the Standardize that ends in this node, and its input; None if the node ends no such thing."""
    kind = getattr(node.operator, "kind", "")
    root = {"div": "sqrt", "mul": "rsqrt"}.get(kind)
    if root is None or len(node.inputs) != 2:
        return None
    centred, factor = (producers.get(name) for name in node.inputs)
    shifted = producers.get(factor.inputs[0]) if factor and _is_unary(factor, root) else None
    variance = producers.get(shifted.inputs[0]) if shifted and _is_offset(shifted) else None
    axes = _averaged(variance)
    square = producers.get(variance.inputs[0]) if variance and axes else None
    if centred is None or square is None or not _is_product(square) or set(square.inputs) != {centred.output}:
        return None
    if centred.operator != Binary("sub") or _averaged(producers.get(centred.inputs[1])) != axes:
        return None
    if producers[centred.inputs[1]].inputs[0] != centred.inputs[0]:
        return None
    assert shifted is not None
    assert isinstance(shifted.operator, Affine)
    return Standardize(axes, float(shifted.operator.offset[0])), centred.inputs[0]


def _averaged(node: Node | None) -> tuple[int, ...]:
    """Return the axes over which the node takes the mean and keeps them; empty if it is no mean."""
    if node is not None and node.operator == Mean(True):
        return (1, 2)
    return (
        node.operator.axes
        if node and isinstance(node.operator, Reduce) and node.operator.kind == "mean"
        else ()
    )


def _is_offset(node: Node) -> bool:
    operator = node.operator
    return isinstance(operator, Affine) and operator.offset.size == 1 and bool(np.all(operator.scale == 1))


def standardize_before_moves(graph: Graph) -> Graph:
    """Move a Standardize over all values before the Reshapes and Transposes in front of it, which then cancel out.

    Exporters write a group norm of one group as a reshape to one row, an instance norm and a reshape back.
    """
    for name in [node.name for node in graph.nodes if isinstance(node.operator, Standardize)]:
        node, producers = graph.node(name), graph.producers()
        assert isinstance(node.operator, Standardize)
        shape = graph.shapes[node.output]
        if any(n > 1 for axis, n in enumerate(shape) if axis not in node.operator.axes):
            continue
        moves: list[Node] = []
        before = producers.get(node.inputs[0])
        while (
            before and isinstance(before.operator, Reshape | Transpose) and graph.uses()[before.output] == 1
        ):
            moves.insert(0, before)
            before = producers.get(before.inputs[0])
        if moves:
            graph = _moved_before(graph, node, moves)
    return drop_unused(graph)


def _moved_before(graph: Graph, node: Node, moves: list[Node]) -> Graph:
    assert isinstance(node.operator, Standardize)
    source = moves[0].inputs[0]
    shape = graph.shapes[source]
    tensor = graph.unused_name(f"{node.output}/first")
    first = Node(tensor, replace(node.operator, axes=tuple(range(1, len(shape)))), (source,), tensor)
    changed: dict[str, tuple[Node, ...]] = {moves[0].name: (first, replace(moves[0], inputs=(tensor,)))}
    if len(moves) > 1:
        changed[moves[-1].name] = (replace(moves[-1], output=node.output),)
    else:
        changed[moves[0].name] = (first, replace(moves[0], inputs=(tensor,), output=node.output))
    nodes = [new for n in graph.nodes if n is not node for new in changed.get(n.name, (n,))]
    return graph.with_nodes(nodes, {tensor: shape})
