"""Cross-layer equalization: the same function, with channels that fill the int8 range alike (arXiv 1906.04721).

A tensor's channels share one int8 scale, so a channel that only reaches a hundredth of the range has one or two bits
left. Scaling a channel up in the layer that makes it, and down in the layers that read it, changes nothing
but that. Two things go beyond the paper:

- ReLU6 caps are met exactly: a channel is only scaled up, and only so far that none of the calibration photos
  meets the cap; where the cap is met already, nothing is scaled.
- Linear tensors (V2's bottlenecks) are also shifted to lie symmetrically around zero; the next layer's bias takes
  the shift back ("bias absorption").

Tensors that an addition, a mean or a padding ties together are scaled as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import (
    WEIGHTED,
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Pad,
    Pool,
    Reshape,
    Weighted,
)
from edgenet.quantize.statistics import ChannelStatistics

Vector = NDArray[np.float64]
Statistics = dict[str, ChannelStatistics]

LARGEST_FACTOR = 64.0
EXPONENTS = (0.0, 0.25, 0.5, 0.625, 0.75, 0.875, 1.0)


@dataclass(frozen=True)
class TensorGroup:
    """Tensors that must be scaled alike.

    Attributes:
        tensors: their names, in the graph's order.
        producers: the weighted nodes that make them.
        consumers: the weighted nodes that read them.
        carriers: the nodes in between (add, mean, pad, pool, reshape).
    """

    tensors: tuple[str, ...]
    producers: tuple[Node, ...]
    consumers: tuple[Node, ...]
    carriers: tuple[Node, ...]

    @property
    def activations(self) -> set[Activation]:
        """The activations that the values have been through."""
        nodes = (*self.producers, *(n for n in self.carriers if isinstance(n.operator, Binary)))
        return {node.operator.activation for node in nodes}  # type: ignore[union-attr]

    @property
    def can_shift(self) -> bool:
        """Whether a constant may be added to every channel: no activation, and no zeros put beside the values."""
        padded = any(any(getattr(n.operator, "pads", ())) for n in (*self.consumers, *self.carriers))
        return self.activations == {Activation.NONE} and not padded


def equalize(graph: Graph, statistics: Statistics) -> tuple[Graph, Statistics]:
    """The same function with equalized channels, and the statistics of its tensors.

    Args:
        graph: lowered, float.
        statistics: of every tensor of this graph, on the calibration photos.
    """
    for tensors in tensor_groups(graph):
        group = _describe(graph, tensors)  # afresh: the groups before may have changed its nodes
        if group is not None:
            graph, changed = _equalize_group(graph, group, statistics)
            statistics = statistics | changed
    return graph, statistics


def tensor_groups(graph: Graph) -> list[tuple[str, ...]]:
    """The graph's tensors, those together that a carrier ties."""
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
    """Whether scaling all of a node's inputs alike scales its output alike, channel by channel."""
    operator = node.operator
    if isinstance(operator, Reshape):
        return graph.shapes[node.inputs[0]][-1] == graph.shapes[node.output][-1]
    if isinstance(operator, Binary):
        same = len({graph.shapes[name] for name in (*node.inputs, node.output)}) == 1
        return operator.kind == "add" and same
    return isinstance(operator, Mean | Pool | Pad)


def _describe(graph: Graph, tensors: tuple[str, ...]) -> TensorGroup | None:
    """The group's nodes; None where it cannot be scaled."""
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


def _equalize_group(graph: Graph, group: TensorGroup, statistics: Statistics) -> tuple[Graph, Statistics]:
    shifts = _shifts(group, statistics)
    reach = _reach(group, statistics, shifts)
    full = _full_factors(group, reach)
    factors = full ** _best_exponent(group, statistics, shifts, full)
    changed: dict[str, Node] = {node.name: node for node in graph.nodes}
    for node in group.producers:
        changed[node.name] = _scale_output(changed[node.name], factors, shifts[node.output])
    for node in group.consumers:
        changed[node.name] = _scale_input(changed[node.name], factors, shifts[node.inputs[0]])
    moved = {name: statistics[name].moved(shifts[name], factors) for name in group.tensors}
    return graph.with_nodes(changed[node.name] for node in graph.nodes), moved


def _shifts(group: TensorGroup, statistics: Statistics) -> dict[str, Vector]:
    """The constant to take off each tensor's channels: the middle of their range, through additions its sum."""
    channels = len(statistics[group.tensors[0]].low)
    shifts = {name: np.zeros(channels) for name in group.tensors}
    if not group.can_shift:
        return shifts
    for node in group.producers:
        seen = statistics[node.output]
        shifts[node.output] = (seen.low + seen.high) / 2
    for node in group.carriers:  # in the graph's order
        shifts[node.output] = np.sum([shifts[name] for name in node.inputs], axis=0)
    return shifts


def _reach(group: TensorGroup, statistics: Statistics, shifts: dict[str, Vector]) -> Vector:
    """How far each channel gets from zero in any tensor of the group, after the shift."""
    ends = [
        np.maximum(statistics[name].high - shifts[name], shifts[name] - statistics[name].low)
        for name in group.tensors
    ]
    return np.max(ends, axis=0)


def _full_factors(group: TensorGroup, reach: Vector) -> Vector:
    """What would bring every channel to the same reach; at least 1, so that nothing is lost."""
    if Activation.RELU6 in group.activations:
        wanted = 6 / np.maximum(reach, 1e-12)
    else:
        wanted = reach.max() / np.maximum(reach, 1e-12)
    wanted[reach <= 1e-9] = 1.0  # a channel that never fires says nothing about its scale
    return np.clip(wanted, 1.0, LARGEST_FACTOR)


def _best_exponent(
    group: TensorGroup, statistics: Statistics, shifts: dict[str, Vector], full: Vector
) -> float:
    """How much of the full equalization is best for the layers that read the tensors.

    A factor that helps the activations makes the weights of the next layer uneven. Depthwise layers do not mind,
    they have a weight scale for each channel.
    """
    mixing = [node for node in group.consumers if not isinstance(node.operator, DepthwiseConv2D)]
    if not mixing:
        return 1.0
    costs = [
        sum(
            _expected_noise(node.operator, statistics[node.inputs[0]], shifts[node.inputs[0]], full**exponent)
            for node in mixing
        )
        for exponent in EXPONENTS
    ]
    return EXPONENTS[int(np.argmin(costs))]


def _expected_noise(operator: object, seen: ChannelStatistics, shift: Vector, factors: Vector) -> float:
    """Rounding noise over signal, summed over a layer's outputs, if its input were scaled so.

    Uniform rounding has the variance step^2 / 12. The activations' step is their range over 255, the weights' is
    the largest weight of the output channel over 127.
    """
    assert isinstance(operator, Conv2D | FullyConnected)
    weight = np.float64(operator.weight).reshape(len(operator.bias), -1, len(factors))
    scaled = weight / factors
    span = ((seen.high - shift) * factors).max() - min(((seen.low - shift) * factors).min(), 0.0)
    energy = ((seen.square - 2 * shift * seen.mean + shift**2) * factors**2).sum() * weight.shape[1]
    variance = (weight**2 * np.maximum(seen.square - seen.mean**2, 0)).sum((1, 2))
    from_activations = (scaled**2).sum((1, 2)) * (span / 255) ** 2 / 12
    from_weights = (np.abs(scaled).max((1, 2)) / 127) ** 2 / 12 * energy
    alive = variance > 1e-12
    return float(((from_activations + from_weights)[alive] / variance[alive]).sum())


def _scale_output(node: Node, factors: Vector, shift: Vector) -> Node:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    rows = factors if isinstance(operator, DepthwiseConv2D) else _first_axis(factors, operator)
    weight, bias = operator.weight * rows, (operator.bias - shift) * factors
    return _with_constants(node, operator, weight, bias)


def _scale_input(node: Node, factors: Vector, shift: Vector) -> Node:
    """Weights divided by the input's factors; the bias takes back what was taken off the input."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    weight = np.float64(operator.weight)
    if isinstance(operator, DepthwiseConv2D):
        restored = (weight * shift).sum((0, 1, 2))
    else:
        restored = (weight * shift).reshape(len(operator.bias), -1).sum(1)
    return _with_constants(node, operator, weight / factors, operator.bias + restored)


def _first_axis(vector: Vector, operator: Weighted) -> Vector:
    return vector.reshape(-1, *(1,) * (operator.weight.ndim - 1))


def _with_constants(node: Node, operator: Weighted, weight: NDArray, bias: NDArray) -> Node:
    changed = replace(operator, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
    return replace(node, operator=changed)
