"""Which tensors of a quantized graph and of a float one stand for the same thing, whatever tool named them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from edgenet.errors import EdgenetError
from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import (
    WEIGHTED,
    Affine,
    Binary,
    DepthwiseConv2D,
    Mean,
    Operator,
    Pad,
    Pool,
    Reshape,
    Unary,
)

CARRYING = (Pad, Reshape)
"""Operators behind which a tensor still holds the values of the one before."""


def match_tensors(graph: Graph, reference: Graph) -> dict[str, str]:
    """For the tensors of one graph those of the other that stand for the same thing.

    Tensors are matched by name; where the names are another tool's, by what they read (additions, means, activations),
    layers with weights else by their order. Only tensors of one shape are matched, axes of one
    left aside: channels that one of the two networks has cut out leave their tensors out of the comparison.

    Raises:
        EdgenetError: the graphs differ; says where.
    """
    if graph.size != reference.size:
        raise EdgenetError(
            f"the networks take {graph.size} and {reference.size} pixels", "compare like with like"
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
    """For every tensor the one whose values it holds: back through padding, reshaping and normalization."""
    found = {graph.input: graph.input}
    for node in graph.nodes:
        source = found[node.inputs[0]]
        carried = isinstance(node.operator, CARRYING) or (
            source == graph.input and _normalizes(node.operator)
        )
        found[node.output] = source if carried else node.output
    return found


def _normalizes(operator: Operator) -> bool:
    """Whether this is what a normalization of the picture becomes in a file: one factor for each colour."""
    one_each = isinstance(operator, DepthwiseConv2D) and operator.weight.shape == (1, 1, 1, 3)
    return one_each or isinstance(operator, Affine)


@dataclass
class _Walk:
    """How far two graphs were followed side by side: `found` maps the one's tensors to the other's."""

    origins: dict[str, str]
    their_origins: dict[str, str]
    left: list[Node]
    found: dict[str, str] = field(default_factory=dict)

    def counterpart(self, node: Node) -> Node | None:
        """The first node that is left in the other graph, of the same kind and with the same inputs."""
        inputs = [self.found.get(self.origins[name]) for name in node.inputs]
        if None in inputs:
            return None
        wanted = (_kind(node), sorted(map(str, inputs)))
        return next((n for n in self.left if (_kind(n), self._reads(n)) == wanted), None)

    def take(self, node: Node, counterpart: Node) -> None:
        """Notes that two nodes are one."""
        self.found[node.output] = counterpart.output
        self.left.remove(counterpart)

    def _reads(self, node: Node) -> list[str]:
        return sorted(self.their_origins[name] for name in node.inputs)


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
                f"the networks differ: '{a.name}' and '{b.name}' are in one place and make {shapes}", remedy
            )


def _layers(graph: Graph) -> list[Node]:
    origin = origins(graph)
    return [n for n in graph.nodes if isinstance(n.operator, WEIGHTED) and origin[n.output] == n.output]


def _same_shape(graph: Graph, ours: str, reference: Graph, theirs: str) -> bool:
    """Axes of one do not count: a mean may keep them or not."""
    first, second = graph.shapes[ours], reference.shapes[theirs]
    return [n for n in first if n != 1] == [n for n in second if n != 1] and first[-1] == second[-1]


def _kind(node: Node) -> Hashable:
    """What two tools that write the same step otherwise agree on."""
    operator = node.operator
    if isinstance(operator, WEIGHTED):
        return "layer", operator.weight.size, operator.activation
    if isinstance(operator, Mean) or (isinstance(operator, Pool) and operator.kind == "average"):
        return "mean"
    if isinstance(operator, Binary | Unary | Pool):
        return type(operator).__name__, operator.kind
    return type(operator).__name__
