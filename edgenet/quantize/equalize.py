"""Cross-layer equalization: rescale channels so that they fill the int8 range alike (arXiv 1906.04721).

A tensor's channels share one int8 scale, so a channel that reaches only a hundredth of the range has one or
two bits left. Scaling a channel up in the layer that makes it, and down in the layers that read it, gives it
more steps and leaves the network's function unchanged. Three things go beyond the paper:

- ReLU6 stays exact. A channel is only scaled up, and only so far that none of the calibration photos reaches
  the cap of 6, with headroom for other photos. A channel that already reaches the cap is not scaled.
- Linear tensors are also shifted to lie symmetrically around zero; the next layer's bias takes the shift back
  ("bias absorption"). Where all layers around them mix channels, `rotate` does better still.
- Each channel's factor is chosen for the least noise at the logits. A factor that helps the activations makes
  the next layer's weights uneven; both sensitivities decide which effect matters more. Depthwise readers are
  not affected, because they have a weight scale for each channel.

Tensors that an addition, a mean, a pooling or a padding ties together share their factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import (
    WEIGHTED,
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FloatArray,
    Graph,
    Mean,
    Node,
    Pad,
    Pool,
    Reshape,
    mixes_channels,
    per_channel,
    with_constants,
)
from edgenet.quantize.ranges import ChannelStatistics
from edgenet.quantize.sensitivity import (
    ACTIVATION_STEPS,
    WEIGHT_STEPS,
    Sensitivity,
    activation_noise,
    descend,
    weight_noise,
)

Vector = NDArray[np.float64]
Statistics = dict[str, ChannelStatistics]
DESCENT_STEPS, DESCENT_RATE = 40, 0.1


@dataclass(frozen=True, eq=False)
class ChannelChange:
    """How a tensor's channels were changed: shifted, then scaled or mixed.

    Attributes:
        shift: what was subtracted from each channel, [C].
        factors: what each channel was then multiplied with, [C], or the matrix that mixed the channels, [C, C].
    """

    shift: Vector
    factors: Vector

    def apply(self, values: Vector) -> Vector:
        """Return values [..., C] of the tensor as they are after the change."""
        moved = values - self.shift
        return moved * self.factors if self.factors.ndim == 1 else moved @ self.factors.T


def equalize(
    graph: Graph,
    statistics: Statistics,
    sensitivity: Sensitivity,
    steps: int = DESCENT_STEPS,
    changes: dict[str, ChannelChange] | None = None,
) -> Graph:
    """Return a graph of the same function with equalized channels.

    Args:
        graph: a lowered float graph.
        statistics: statistics of every tensor of this graph on the calibration photos.
        sensitivity: the sensitivity of the logits to the graph's tensors and weights.
        steps: gradient descent steps for each group's factors.
        changes: is given every tensor's change, by name.
    """
    for tensors in tensor_groups(graph):
        group = group_of(graph, tensors)  # described anew, because earlier groups may have changed its nodes
        if group is not None and not group.can_mix:  # `rotate` handles the groups that can be mixed
            graph, made = _equalize_group(graph, group, statistics, sensitivity, steps)
            if changes is not None:
                changes |= made
    return graph


def _equalize_group(
    graph: Graph, group: TensorGroup, statistics: Statistics, sensitivity: Sensitivity, steps: int
) -> tuple[Graph, dict[str, ChannelChange]]:
    shifts = shifts_of(group, statistics)
    full = _full_factors(group, statistics, shifts)
    factors = _best_factors(NoiseModel(group, statistics, shifts, sensitivity), full, steps)
    changed: dict[str, Node] = {node.name: node for node in graph.nodes}
    for node in group.producers:
        changed[node.name] = _scale_output(changed[node.name], factors, shifts[node.output])
    for node in group.consumers:
        changed[node.name] = _scale_input(changed[node.name], factors, shifts[node.inputs[0]])
    changes = {name: ChannelChange(shifts[name], factors) for name in group.tensors}
    return graph.with_nodes(changed[node.name] for node in graph.nodes), changes


def shifts_of(group: TensorGroup, statistics: Statistics) -> dict[str, Vector]:
    """Return the constant to subtract from each channel of each tensor.

    It is the middle of the channel's range. Behind an addition it is the sum of the inputs' constants. It is
    zero for a group that cannot be shifted.
    """
    channels = len(statistics[group.tensors[0]].low)
    shifts = {name: np.zeros(channels) for name in group.tensors}
    if not group.can_shift:
        return shifts
    for node in group.producers:
        channels_made = statistics[node.output]
        shifts[node.output] = (channels_made.low + channels_made.high) / 2
    for node in group.carriers:  # these are in graph order, so the shifts of their inputs are known
        shifts[node.output] = np.sum([shifts[name] for name in node.inputs], axis=0)
    return shifts


LARGEST_FACTOR = 64.0
"""No channel is scaled up by more than this."""


def _full_factors(group: TensorGroup, statistics: Statistics, shifts: dict[str, Vector]) -> Vector:
    """Return the factors, at least 1, that would give all channels the same reach; no channel loses steps."""
    reach = np.max([_reach(statistics[name], shifts[name]) for name in group.tensors], axis=0)
    full = 6 / CAP_ROOM if Activation.RELU6 in group.activations else reach.max()
    factors = full / np.maximum(reach, 1e-12)
    factors[reach <= 1e-9] = 1.0  # a channel that never fires says nothing about its scale
    return np.clip(factors, 1.0, LARGEST_FACTOR)


TAIL_HEADROOM = 1.0
"""Headroom: a channel's reach counts exp(TAIL_HEADROOM * tail) times. With 1, this is the growth that the channel's
tail index predicts for e times as many photos. With no headroom, unseen photos are clipped; with much more,
the steps of all channels get too coarse."""
CAP_ROOM = 1.25
"""Further room below ReLU6's cap: a value that meets the cap changes the network's function, not only its rounding.
On photos of another source (V2 calibrated by 100 of calibration_data/, judged by ImageNet), the scaled float network
without this room differs from the original at 37 dB, and with a room of 1.5 at 48 dB."""


def _reach(channels: ChannelStatistics, shift: Vector) -> Vector:
    """Return how far each channel gets from zero after the shift, with headroom for unseen photos."""
    return np.maximum(channels.high - shift, shift - channels.low) * np.exp(TAIL_HEADROOM * channels.tail)


EXPONENTS = np.linspace(0, 1, 9)
"""Powers of the factors that give all channels the same reach; the best one starts the descent."""
LARGEST_DESCENT = 2**21
"""Largest number of reader weights in a group for which gradient descent optimizes each factor by itself; its
time grows with that number. The limit admits every group of every MobileNet, but not AlexNet's 4096 x 4096
matrix. Above it, the factors are a common power of the factors that would give all channels the same
reach."""


def _best_factors(model: NoiseModel, full: Vector, steps: int) -> Vector:
    """Return the factors between 1 and `full` with the least noise.

    They start as the best common power of `full`; gradient descent then changes each factor by itself.
    """
    if not model.mixing:
        return full
    limit = torch.from_numpy(np.log(full)).float()
    exponent = min(EXPONENTS, key=lambda power: float(model.noise((limit * power).exp())))
    start = limit * exponent
    if not steps or model.size > LARGEST_DESCENT:
        return start.double().exp().numpy()

    def slope(logarithms: Tensor) -> tuple[float, Tensor]:
        within = torch.minimum(logarithms.clamp(min=0), limit)
        factors = within.exp()
        noise, gradient = model.slope(factors)
        return noise, torch.where(within == logarithms, gradient * factors, 0.0)

    further = torch.minimum(descend(slope, start, steps, DESCENT_RATE).clamp(min=0), limit)
    return min((start, further), key=lambda point: float(model.noise(point.exp()))).double().exp().numpy()


class NoiseModel:
    """The noise at the logits as a function of a group's factors.

    Larger factors round the activations more finely and the readers' weights more coarsely.
    """

    def __init__(
        self,
        group: TensorGroup,
        statistics: Statistics,
        shifts: dict[str, Vector],
        sensitivity: Sensitivity,
    ) -> None:
        self.mixing = bool(group.mixing_consumers)
        self.tensors = [
            self._tensor(statistics[name], shifts[name], sensitivity.tensors[name]) for name in group.tensors
        ]
        self.readers = [self._reader(node, sensitivity) for node in group.mixing_consumers]
        self.size = sum(weight.numel() for weight, _, _ in self.readers)

    def _tensor(
        self, channels: ChannelStatistics, shift: Vector, sensitivity: Vector
    ) -> tuple[Tensor, Tensor, Tensor]:
        low, high = torch.from_numpy(channels.low - shift), torch.from_numpy(channels.high - shift)
        return low.float(), high.float(), torch.from_numpy(sensitivity).float()

    def _reader(self, node: Node, sensitivity: Sensitivity) -> tuple[Tensor, Tensor, Tensor]:
        operator = node.operator
        assert isinstance(operator, WEIGHTED)
        columns = _diagonal(sensitivity.columns[node.name])
        weight = np.abs(operator.weight).reshape(len(operator.bias), -1, len(columns)).max(1)
        share = columns / max(columns.sum(), 1e-300)
        rows = _diagonal(sensitivity.rows[node.name])
        return torch.from_numpy(weight), torch.from_numpy(rows).float(), torch.from_numpy(share).float()

    def noise(self, factors: Tensor) -> Tensor:
        """Return the noise energy at the logits, a float32 scalar, with the factors [C]."""
        total = torch.zeros(())
        for low, high, sensitivity in self.tensors:
            span = (high * factors).max() - (low * factors).min().clamp(max=0)
            total = total + activation_noise(span, (sensitivity / factors**2).sum())
        for weight, rows, share in self.readers:
            largest = (weight / factors).amax(1)
            total = total + weight_noise(largest, rows, (share * factors**2).sum())
        return total

    def slope(self, factors: Tensor) -> tuple[float, Tensor]:
        """Return the same noise, and its gradient by the factors [C]."""
        total, gradient = 0.0, torch.zeros_like(factors)
        squares = factors.square()
        for low, high, sensitivity in self.tensors:
            (top, highest), (bottom, lowest) = (high * factors).max(0), (low * factors).min(0)
            span = float(top - bottom.clamp(max=0))
            shares = sensitivity / squares
            noise = float(activation_noise(torch.tensor(span), shares.sum()))
            total += noise
            gradient -= shares / factors * (2 * span**2 / (12 * ACTIVATION_STEPS**2))
            if span > 0:
                gradient[highest] += 2 * noise / span * high[highest]
                gradient[lowest] -= 2 * noise / span * low[lowest].clamp(max=0)
        for weight, rows, share in self.readers:
            largest, places = (weight / factors).max(1)
            gain = float((share * squares).sum())
            of_rows = largest.square() * rows / (12 * WEIGHT_STEPS**2)
            alone = float(of_rows.sum())
            total += alone * gain
            gradient += 2 * alone * share * factors
            gradient.index_add_(0, places, of_rows / factors[places], alpha=-2 * gain)
        return total, gradient


def _diagonal(moments: Vector) -> Vector:
    return np.ascontiguousarray(np.diagonal(moments)) if moments.ndim == 2 else moments


def _scale_output(node: Node, factors: Vector, shift: Vector) -> Node:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    weight = _in_parts(np.multiply, operator.weight, per_channel(operator, factors))
    return with_constants(node, weight, (operator.bias - shift) * factors)


def _scale_input(node: Node, factors: Vector, shift: Vector) -> Node:
    """Divide the weights by the input's factors; the bias restores the shift subtracted from the input."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    restored: Vector | float = 0.0
    if shift.any():
        moved = np.float64(operator.weight) * shift
        depthwise = isinstance(operator, DepthwiseConv2D)
        restored = moved.sum((0, 1, 2)) if depthwise else moved.reshape(len(operator.bias), -1).sum(1)
    return with_constants(node, _in_parts(np.divide, operator.weight, factors), operator.bias + restored)


PART = 2**20
"""Number of weights that are in memory in double precision at once."""


def _in_parts(operation: np.ufunc, weight: FloatArray, factors: Vector) -> FloatArray:
    """Return the weights after an operation in double precision with the factors, which broadcast over them."""
    made, spread = np.empty_like(weight), np.broadcast_to(factors, weight.shape)
    count = max(1, PART // max(1, weight[0].size))
    for start in range(0, len(weight), count):
        part = slice(start, start + count)
        made[part] = operation(weight[part], spread[part])
    return made


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
        mixing = all(mixes_channels(node) for node in (*self.producers, *self.consumers))
        pooled = any(isinstance(n.operator, Pool) and n.operator.kind == "max" for n in self.carriers)
        return self.can_shift and mixing and not pooled

    @property
    def mixing_consumers(self) -> tuple[Node, ...]:
        """The consumers whose input channels share weight scales, which are all except depthwise layers."""
        return tuple(n for n in self.consumers if not isinstance(n.operator, DepthwiseConv2D))


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


def group_of(graph: Graph, tensors: tuple[str, ...]) -> TensorGroup | None:
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
