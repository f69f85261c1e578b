"""Group tensors that an addition, mean, pooling or padding ties together, so that they are rescaled alike."""

from __future__ import annotations

from dataclasses import dataclass

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import (
    WEIGHTED,
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    Mean,
    Pad,
    Pool,
    Reshape,
)


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that must be transformed alike.

    Attributes:
        tensors: the tensors' names, in the graph's order.
        producers: the weighted nodes that make these tensors.
        consumers: the weighted nodes that read these tensors.
        carriers: the nodes between these tensors (add, mean, pad, pool, reshape).
    """

    tensors: tuple[str, ...]
    producers: tuple[Node, ...]
    consumers: tuple[Node, ...]
    carriers: tuple[Node, ...]

    @property
    def activations(self) -> set[Activation]:
        """The activation functions that have been applied to the values."""
        nodes = (*self.producers, *(n for n in self.carriers if isinstance(n.operator, Binary)))
        return {node.operator.activation for node in nodes}  # type: ignore[union-attr]

    @property
    def can_shift(self) -> bool:
        """Whether a constant may be added to every channel: there is no activation and no zero padding."""
        padded = any(any(getattr(n.operator, "pads", ())) for n in (*self.consumers, *self.carriers))
        return self.activations == {Activation.NONE} and not padded

    @property
    def can_mix(self) -> bool:
        """Whether any invertible matrix may mix the channels.

        This holds if the tensors can be shifted, all layers around them mix channels, and no max pooling is
        between.
        """
        mixing = all(_mixes_channels(node) for node in (*self.producers, *self.consumers))
        pooled = any(isinstance(n.operator, Pool) and n.operator.kind == "max" for n in self.carriers)
        return self.can_shift and mixing and not pooled

    @property
    def mixing_consumers(self) -> tuple[Node, ...]:
        """The consumers whose input channels share weight scales, which are all except depthwise layers."""
        return tuple(n for n in self.consumers if not isinstance(n.operator, DepthwiseConv2D))


def _mixes_channels(node: Node) -> bool:
    operator = node.operator
    return not isinstance(operator, DepthwiseConv2D) and getattr(operator, "groups", 1) == 1


def tensor_groups(graph: Graph) -> list[tuple[str, ...]]:
    """Return the graph's tensors in groups; tensors that a carrier ties together are in one group."""
    group = {name: {name} for name in [graph.input, *(n.output for n in graph.nodes)]}
    for node in graph.nodes:
        if _carries(graph, node):
            for name in node.inputs:
                merged = group[name] | group[node.output]
                for member in merged:
                    group[member] = merged
    order = {name: i for i, name in enumerate(group)}
    return list(dict.fromkeys(tuple(sorted(members, key=order.__getitem__)) for members in group.values()))


def _carries(graph: Graph, node: Node) -> bool:
    """Whether scaling the channels of all of a node's inputs scales its output's channels in the same way."""
    operator = node.operator
    if isinstance(operator, Reshape):
        return graph.shapes[node.inputs[0]][-1] == graph.shapes[node.output][-1]
    if isinstance(operator, Binary):
        same = len({graph.shapes[name] for name in (*node.inputs, node.output)}) == 1
        return operator.kind == "add" and same
    return isinstance(operator, Mean | Pool | Pad)


def describe(graph: Graph, tensors: tuple[str, ...]) -> TensorGroup | None:
    """Return the group with its nodes as they are in the graph now, or None if it cannot be transformed."""
    members = set(tensors)
    if graph.input in members or graph.output in members:
        return None
    makers = [node for node in graph.nodes if node.output in members]
    readers = [node for node in graph.nodes if members & set(node.inputs)]
    carriers = tuple(node for node in makers if _carries(graph, node))
    producers = tuple(node for node in makers if node not in carriers)
    consumers = tuple(node for node in readers if node not in carriers)
    scalable = all(isinstance(n.operator, WEIGHTED) for n in (*producers, *consumers))
    grouped = any(isinstance(n.operator, Conv2D) and n.operator.groups > 1 for n in consumers)
    multiplied = any(_multiplier(graph, n) > 1 for n in consumers)
    infinite = any(isinstance(n.operator, Pad) and n.operator.value != 0 for n in carriers)
    if not scalable or grouped or multiplied or infinite or not consumers:
        return None
    return TensorGroup(tensors, producers, consumers, carriers)


def _multiplier(graph: Graph, node: Node) -> int:
    if not isinstance(node.operator, DepthwiseConv2D):
        return 1
    return node.operator.weight.shape[3] // graph.shapes[node.inputs[0]][3]
