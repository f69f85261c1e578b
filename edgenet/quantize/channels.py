"""Change how many channels the layers have: remove channels that never change, and double the noisiest ones.

Real networks have channels whose value is constant: TF-slim's MobileNetV1 1.0/224 has 8 in its first layer, because
training has driven their weights to zero. They cost time and bytes, and their huge or tiny folded weights make
quantization less accurate (arXiv 1806.08342, 3.1.3). They are removed wherever the network's result stays the same.

A noisy channel is doubled because the mean of two int8 copies is as good as rounding to half steps (arXiv 1901.09504).
Take a channel that one convolution makes, a depthwise layer filters and another convolution reads. It can be
stored twice, with each copy read at half the weight: this is the same function for a few more mult-adds. Now
one copy gets a quarter of an int8 step more in its bias and the other a quarter less. Where one copy is
rounded up, the other is often rounded down, so their mean is rounded to half steps and has a quarter of the
noise ("quantization-aware splitting" in the paper). Zeros stay zeros in both copies. The function changes by
less than the rounding error that is saved.

In MobileNetV1, a handful of the first layer's channels make a third of all noise at the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import (
    WEIGHTED,
    Activation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Node,
    Pad,
    Shape,
    mixes_channels,
    with_constants,
)
from edgenet.graph.shapes import cost, infer_shape, node_mult_adds
from edgenet.quantize.quantized_graph import Encoding
from edgenet.quantize.sensitivity import ACTIVATION_STEPS, Sensitivity, activation_noise

Vector = NDArray[np.float64]


def drop_dead_channels(graph: Graph) -> Graph:
    """Return the same network without channels that are provably constant.

    A channel is removed only if every reader can do without it. A convolution adds the constant's effect to
    its bias; if it pads, the constant must be zero, because the bias also acts on the zero padding. A
    depthwise layer loses the same channel.
    """
    bounds = channel_bounds(graph)
    for node in graph.nodes:
        if isinstance(node.operator, Conv2D) and mixes_channels(node):
            graph = _drop_from(graph, node.name, bounds)
    return graph


TOLERANCE = 1e-4
"""The widest worst-case range of a channel that still counts as constant; an int8 step is about 1e-2."""


def _drop_from(graph: Graph, name: str, bounds: dict[str, tuple[Vector, Vector]]) -> Graph:
    """Remove the dead output channels of the convolution `name`, here and in the nodes that read them."""
    chain = _depthwise_chain(graph, graph.node(name))
    if chain is None:
        return graph
    last = chain[-1]
    low, high = bounds[last.output]
    dead = high - low <= TOLERANCE  # no other node reads the earlier outputs of this chain
    if any(any(getattr(n.operator, "pads", ())) for n in graph.readers(last.output)):
        dead &= np.maximum(np.abs(low), np.abs(high)) <= TOLERANCE
    dead = _whole_tiles(dead)
    if not dead.any():
        return graph
    values = {last.output: (low + high) / 2}
    changed = _cut(graph, chain, ~dead, values)
    for link in chain:
        low, high = bounds[link.output]
        bounds[link.output] = (low[~dead], high[~dead])
    return changed


TILE = 8
"""Kernels process channels in tiles of 8 or more: 25 channels take as long as 32 (XNNPACK's int8 tiles)."""


def _whole_tiles(dead: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the dead channels to remove: as many as leave a multiple of TILE channels, and at least TILE."""
    remaining = -(-int((~dead).sum()) // TILE) * TILE
    surplus = len(dead) - max(remaining, TILE)
    cut = np.zeros_like(dead)
    cut[np.flatnonzero(dead)[: max(surplus, 0)]] = True
    return cut


def _depthwise_chain(graph: Graph, first: Node) -> list[Node] | None:
    """Return a convolution and the depthwise layers and means after it, up to the layers that mix channels.

    The result is None if any other kind of node reads one of them, or if one of them is the graph's output.
    """
    chain = [first]
    while True:
        tensor = chain[-1].output
        readers = graph.readers(tensor)
        if tensor == graph.output or not readers:
            return None
        if all(mixes_channels(n) for n in readers):
            return chain
        if len(readers) != 1 or not _keeps_channels(graph, readers[0]):
            return None
        chain.append(readers[0])


def _keeps_channels(graph: Graph, node: Node) -> bool:
    same = graph.shapes[node.inputs[0]][-1] == graph.shapes[node.output][-1]
    return isinstance(node.operator, DepthwiseConv2D | Mean) and same


def _cut(graph: Graph, chain: list[Node], keep: NDArray[np.bool_], values: dict[str, Vector]) -> Graph:
    """Keep only these channels of the chain; its readers take in the constant `values` of the others."""
    inside = {link.name for link in chain}
    nodes, shapes = [], dict(graph.shapes)
    for node in graph.nodes:
        if node.name in inside:
            node = _without_outputs(node, keep)
        elif node.inputs[0] in values and isinstance(node.operator, Conv2D | FullyConnected):
            node = _without_inputs(node, keep, values[node.inputs[0]])
        nodes.append(node)
        shapes[node.output] = _shape(node, shapes)
    return graph.with_nodes(nodes, shapes)


def _shape(node: Node, shapes: dict[str, Shape]) -> Shape:
    return infer_shape(node.operator, [shapes[name] for name in node.inputs])


def _without_outputs(node: Node, keep: NDArray[np.bool_]) -> Node:
    operator = node.operator
    match operator:
        case Conv2D():
            return with_constants(node, operator.weight[keep], operator.bias[keep])
        case DepthwiseConv2D():
            return with_constants(node, np.ascontiguousarray(operator.weight[..., keep]), operator.bias[keep])
        case _:  # a Mean has no constants
            return node


def _without_inputs(node: Node, keep: NDArray[np.bool_], values: Vector) -> Node:
    operator = node.operator
    assert isinstance(operator, Conv2D | FullyConnected)
    constant = np.float64(operator.weight[..., ~keep]) * values[~keep]
    bias = operator.bias + constant.reshape(len(operator.bias), -1).sum(1)
    return with_constants(node, np.ascontiguousarray(operator.weight[..., keep]), bias)


def channel_bounds(graph: Graph) -> dict[str, tuple[Vector, Vector]]:
    """Return for every tensor the lowest and highest value of each channel over all possible pictures."""
    pixels = graph.require_pixels()
    ends = np.array([-pixels.zero_point, 255 - pixels.zero_point]) * pixels.scale
    channels = graph.shapes[graph.input][-1]
    bounds = {graph.input: (np.full(channels, ends[0]), np.full(channels, ends[1]))}
    for node in graph.nodes:
        sources = [bounds[name] for name in node.inputs]
        bounds[node.output] = _bounds_of(node, sources, graph.shapes[node.output][-1])
    return bounds


def _bounds_of(node: Node, sources: list[tuple[Vector, Vector]], channels: int) -> tuple[Vector, Vector]:
    operator = node.operator
    if isinstance(operator, Mean):
        return sources[0]
    if not isinstance(operator, WEIGHTED) or (isinstance(operator, Conv2D) and operator.groups > 1):
        return np.full(channels, -np.inf), np.full(channels, np.inf)
    low, high = sources[0]
    if any(getattr(operator, "pads", ())):
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    if isinstance(operator, DepthwiseConv2D):
        repeat = channels // len(low)
        low, high = (np.repeat(end, repeat)[:, None] for end in (low, high))
        lowest, highest = _sums_of_ends(operator.weight.reshape(-1, channels).T, low, high)
    else:
        weight = operator.weight.reshape(channels, -1, len(low))
        rows = max(1, AT_ONCE // max(1, weight[0].size))
        parts = [_sums_of_ends(weight[start : start + rows], low, high) for start in range(0, channels, rows)]
        lowest, highest = (np.concatenate(each) for each in zip(*parts, strict=True))
    bottom, top = operator.activation.bounds
    bias = np.float64(operator.bias)
    return np.clip(lowest + bias, bottom, top), np.clip(highest + bias, bottom, top)


AT_ONCE = 2**20
"""Number of weights whose products are computed at once; those of all weights of a large matrix take gigabytes."""


def _sums_of_ends(weight: NDArray[np.float32], low: Vector, high: Vector) -> tuple[Vector, Vector]:
    """Return the lowest and the highest sum of products of each row of weights [rows, ...] with inputs in a range."""
    with np.errstate(invalid="ignore"):  # 0 * inf is NaN, but a zero weight ignores an unknown input
        products = weight.astype(np.float64) * low, weight.astype(np.float64) * high
        ends = np.minimum(*products), np.maximum(*products)
    over = tuple(range(1, weight.ndim))
    lowest, highest = (np.nan_to_num(end, nan=0.0, neginf=-np.inf, posinf=np.inf).sum(over) for end in ends)
    return lowest, highest


def double_channels(
    graph: Graph, encodings: Mapping[str, Encoding], sensitivity: Sensitivity, share: float
) -> Graph:
    """Return a graph of nearly the same function in which the noisiest channels are doubled.

    The channels that save the most noise per mult-add are doubled first, until the budget is spent.

    Args:
        graph: a lowered float graph.
        encodings: the encodings that the graph's tensors will have.
        sensitivity: the sensitivity of the logits to the graph's tensors.
        share: the budget for the copies, as a share of the network's mult-adds.
    """
    tiles = [t for chain in depthwise_chains(graph) for t in _tiles(graph, chain, encodings, sensitivity)]
    left = share * cost(graph).mult_adds
    chosen: dict[str, list[_Tile]] = {}
    for tile in sorted(tiles, key=lambda t: t.saved / t.mult_adds, reverse=True):
        if tile.mult_adds > left:
            break
        left -= tile.mult_adds
        chosen.setdefault(tile.chain.depthwise.name, []).append(tile)
    for parts in chosen.values():
        channels = np.sort(np.concatenate([tile.channels for tile in parts]))
        graph = with_copies(graph, parts[0].chain, channels, encodings)
    return graph


def with_nodes(graph: Graph, changed: Mapping[str, Node]) -> Graph:
    """Return the graph with nodes that may have other numbers of channels, by name."""
    nodes, shapes = [changed.get(node.name, node) for node in graph.nodes], dict(graph.shapes)
    for node in nodes:
        shapes[node.output] = _shape(node, shapes)
    return graph.with_nodes(nodes, shapes)


@dataclass(frozen=True, eq=False)
class DepthwiseChain:
    """A depthwise layer, the convolution that makes its input, and the only one that reads its output."""

    maker: Node
    depthwise: Node
    reader: Node


def depthwise_chains(graph: Graph) -> Iterator[DepthwiseChain]:
    """Yield the depthwise layers whose channels can be copied or replaced without any other layer noticing."""
    producers = graph.producers()
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for node in graph.nodes:
        if not isinstance(node.operator, DepthwiseConv2D) or node.output not in readers:
            continue
        path = [node.inputs[0]]
        maker = producers.get(path[0])
        if maker is not None and isinstance(maker.operator, Pad):
            path.append(maker.inputs[0])
            maker = producers.get(path[1])
        reader = readers[node.output][0]
        alone = all(len(readers[name]) == 1 for name in (*path, node.output))
        if alone and maker is not None and _mixes(maker) and _mixes(reader) and _rectified(maker, node):
            yield DepthwiseChain(maker, node, reader)


def _mixes(node: Node) -> bool:
    return isinstance(node.operator, Conv2D) and node.operator.groups == 1


def _rectified(maker: Node, depthwise: Node) -> bool:
    """Whether both layers end in a ReLU, so offsets leave zeros alone, and have the same channels."""
    makes, filters = maker.operator, depthwise.operator
    assert isinstance(makes, Conv2D)
    assert isinstance(filters, DepthwiseConv2D)
    linear = Activation.NONE in (makes.activation, filters.activation)
    return not linear and len(makes.bias) == len(filters.bias)


@dataclass(frozen=True, eq=False)
class _Tile:
    """Channels of a chain that are doubled together, because kernels take as long for 25 channels as for 32.

    Attributes:
        chain: the three layers around the channels.
        channels: the channels' indices.
        saved: noise energy at the logits that doubling saves.
        mult_adds: mult-adds that the copies cost.
    """

    chain: DepthwiseChain
    channels: NDArray[np.int64]
    saved: float
    mult_adds: int


SAVED_BEFORE, SAVED_BEHIND = 0.75, 0.6
"""Fraction of the rounding noise that doubling saves at the depthwise layer's input and at its output. The
copies of the output differ by more than their offsets, so less is saved there."""


def _tiles(
    graph: Graph, chain: DepthwiseChain, encodings: Mapping[str, Encoding], sensitivity: Sensitivity
) -> Iterator[_Tile]:
    """Yield the chain's channels in tiles of TILE, noisiest first."""

    saved = noise_saved(chain, encodings, sensitivity)
    order = np.argsort(-saved, kind="stable")
    nodes = (chain.maker, chain.depthwise, chain.reader)
    each = sum(node_mult_adds(graph, node) for node in nodes) // len(saved)
    for start in range(0, len(order) - TILE + 1, TILE):
        channels = order[start : start + TILE]
        yield _Tile(chain, channels, float(saved[channels].sum()), TILE * each)


def noise_saved(chain: DepthwiseChain, encodings: Mapping[str, Encoding], sensitivity: Sensitivity) -> Vector:
    """Return the noise energy at the logits that doubling each channel of a chain saves, [C]."""
    before, behind = (
        rounding_noise(node.output, encodings, sensitivity) for node in (chain.maker, chain.depthwise)
    )
    return SAVED_BEFORE * before + SAVED_BEHIND * behind


def rounding_noise(name: str, encodings: Mapping[str, Encoding], sensitivity: Sensitivity) -> Vector:
    """Return the noise energy at the logits from rounding each channel of a tensor, [C]."""
    felt = sensitivity.tensors[name]
    return activation_noise(np.full_like(felt, ACTIVATION_STEPS * encodings[name].scale), felt)


QUARTER = 0.25


def with_copies(
    graph: Graph, chain: DepthwiseChain, channels: NDArray[np.int64], encodings: Mapping[str, Encoding]
) -> Graph:
    """Append copies of the channels after the existing channels in all three layers."""
    nodes = {node.name: node for node in graph.nodes}
    for link in (chain.maker, chain.depthwise):
        node = nodes[link.name]
        operator = node.operator
        assert isinstance(operator, Conv2D | DepthwiseConv2D)
        axis = 3 if isinstance(operator, DepthwiseConv2D) else 0
        offset = np.zeros(len(operator.bias))
        offset[channels] = QUARTER * encodings[node.output].scale
        if isinstance(operator, DepthwiseConv2D):
            # Each copy is offset in the direction in which its input's offset has already moved it.
            offset *= np.where(operator.weight.sum((0, 1, 2)) < 0, -1, 1)
        weight = np.concatenate([operator.weight, operator.weight.take(channels, axis)], axis)
        bias = np.concatenate([operator.bias - offset, (operator.bias + offset)[channels]])
        nodes[link.name] = with_constants(node, weight, bias)
    reader = nodes[chain.reader.name]
    operator = reader.operator
    assert isinstance(operator, Conv2D)
    weight = operator.weight.copy()
    weight[..., channels] /= 2
    both = np.concatenate([weight, weight[..., channels]], -1)
    nodes[chain.reader.name] = with_constants(reader, both, operator.bias)
    return with_nodes(graph, nodes)
