"""Put a quantized graph and its float graph side by side: the same photos in, tensors matched one by one.

Another tool may have renamed the tensors. An int8 file takes raw pixels or already normalized numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.executor import decode_pixels
from edgenet.graph.ir import (
    WEIGHTED,
    Affine,
    Binary,
    DepthwiseConv2D,
    Graph,
    Mean,
    Node,
    Operator,
    Pad,
    Pool,
    Reshape,
    Unary,
)
from edgenet.quantize.quantized_graph import LOW, QuantizedGraph, quantize_array


def match_tensors(graph: Graph, reference: Graph) -> dict[str, str]:
    """Map tensors of one graph to the tensors of the other that hold the same values.

    Tensors are matched by name. Where another tool has chosen the names, nodes are matched by their inputs
    (additions, means, activations), and layers with weights, if that fails, by their order. Only tensors of
    the same shape are matched, ignoring axes of size one. So a tensor from which one network has cut channels
    out is not compared.

    Raises:
        EdgenetError: the graphs differ; the message says where.
    """
    if graph.size != reference.size:
        raise EdgenetError(
            f"the networks differ: input of {graph.size} pixels in one, {reference.size} in the other",
            "give the float network that this file was made from",
        )
    if graph.classes != reference.classes:
        raise EdgenetError(
            f"the networks differ: {graph.classes} classes in one, {reference.classes} in the other",
            "give the float network that this file was made from",
        )
    made = [n.output for n in graph.nodes if n.output in reference.shapes]
    found = {name: name for name in made if _same_shape(graph, name, reference, name)}
    if len(found) * 2 > len(graph.nodes):
        found |= _by_place(graph, reference, found)
    else:
        _check_layers(graph, reference)
        found = _by_place(graph, reference, {})
    return found | {graph.output: reference.output}


def origins(graph: Graph) -> dict[str, str]:
    """Map every tensor to the earlier tensor whose values it holds, back through padding and reshaping.

    Normalization of the input picture is traced through as well.
    """
    found = {graph.input: graph.input}
    for node in graph.nodes:
        source = found[node.inputs[0]]
        carried = isinstance(node.operator, CARRYING) or (
            source == graph.input and _normalizes(node.operator)
        )
        found[node.output] = source if carried else node.output
    return found


CARRYING = (Pad, Reshape)
"""Operators whose output still holds the values of their input."""


def _normalizes(operator: Operator) -> bool:
    """Whether the operator may normalize the picture: in a file, that is one factor for each colour."""
    one_each = isinstance(operator, DepthwiseConv2D) and operator.weight.shape == (1, 1, 1, 3)
    return one_each or isinstance(operator, Affine)


def _by_place(graph: Graph, reference: Graph, named: dict[str, str]) -> dict[str, str]:
    ours, theirs = origins(graph), origins(reference)
    left = [n for n in reference.nodes if theirs[n.output] == n.output]
    walk = _Walk(ours, theirs, left, {graph.input: reference.input})
    for node in graph.nodes:
        if ours[node.output] != node.output:
            continue
        counterpart = next((n for n in left if n.output == named.get(node.output)), None)
        counterpart = counterpart or walk.counterpart(node)
        if counterpart is None and not named and isinstance(node.operator, WEIGHTED):
            counterpart = next(n for n in left if isinstance(n.operator, WEIGHTED))
        if counterpart is not None:
            walk.take(node, counterpart)
    del walk.found[graph.input]
    return {a: b for a, b in walk.found.items() if _same_shape(graph, a, reference, b)}


@dataclass
class _Walk:
    """State of the walk through two graphs side by side: `found` maps our tensors to the reference's."""

    origins: dict[str, str]
    their_origins: dict[str, str]
    left: list[Node]
    found: dict[str, str] = field(default_factory=dict)

    def counterpart(self, node: Node) -> Node | None:
        """Return the reference's first unmatched node of the same kind and with the same inputs, or None."""
        inputs = [self.found.get(self.origins[name]) for name in node.inputs]
        if None in inputs:
            return None
        wanted = (_kind(node), sorted(map(str, inputs)))
        return next((n for n in self.left if (_kind(n), self._reads(n)) == wanted), None)

    def take(self, node: Node, counterpart: Node) -> None:
        """Record that two nodes correspond."""
        self.found[node.output] = counterpart.output
        self.left.remove(counterpart)

    def _reads(self, node: Node) -> list[str]:
        return sorted(self.their_origins[name] for name in node.inputs)


def _kind(node: Node) -> Hashable:
    """Return the properties of a node on which two tools agree even if they write the step differently."""
    operator = node.operator
    if isinstance(operator, WEIGHTED):
        return "layer", operator.weight.size, operator.activation
    if isinstance(operator, Mean) or (isinstance(operator, Pool) and operator.kind == "average"):
        return "mean"
    if isinstance(operator, Binary | Unary | Pool):
        return type(operator).__name__, operator.kind
    return type(operator).__name__


def _check_layers(graph: Graph, reference: Graph) -> None:
    ours, theirs = _layers(graph), _layers(reference)
    remedy = "give the float network that this file was made from"
    if len(ours) != len(theirs):
        raise EdgenetError(
            f"the networks differ: {len(ours)} layers with weights in one, {len(theirs)} in the other", remedy
        )
    for a, b in zip(ours, theirs, strict=True):
        if not _same_shape(graph, a.output, reference, b.output):
            shapes = f"{list(graph.shapes[a.output])} and {list(reference.shapes[b.output])}"
            raise EdgenetError(
                f"the networks differ: layers '{a.name}' and '{b.name}' correspond but make {shapes}", remedy
            )


def _layers(graph: Graph) -> list[Node]:
    origin = origins(graph)
    return [n for n in graph.nodes if isinstance(n.operator, WEIGHTED) and origin[n.output] == n.output]


def _same_shape(graph: Graph, ours: str, reference: Graph, theirs: str) -> bool:
    """Whether the shapes are equal except for axes of size one before the last; a mean may drop those."""
    first, second = graph.shapes[ours], reference.shapes[theirs]
    return [n for n in first if n != 1] == [n for n in second if n != 1] and first[-1] == second[-1]


Decode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps uint8 RGB photos [n, H, W, 3] to the real numbers that the file's input represents, same shape."""


def decoder_from_encoding(graph: Graph) -> Decode:
    """Return the decoding that the file's own input encoding states."""
    return lambda images: decode_pixels(graph, images).numpy()


def as_integers(quantized: QuantizedGraph, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return real numbers [n, H, W, 3] as uint8 input of `run_integer`, where 0 stands for int8's -128."""
    integers = quantize_array(values, quantized.encodings[quantized.graph.input])
    return (integers.astype(np.int16) - LOW).astype(np.uint8)
