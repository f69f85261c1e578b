"""Removes channels whose value is constant, wherever the network's result stays the same.

Real networks have such channels: TF-slim's MobileNetV1 1.0/224 has 8 in its first layer, because training has
driven their weights to zero. They cost time and bytes, and their huge or tiny folded weights make
quantization less accurate (arXiv 1806.08342, 3.1.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import (
    WEIGHTED,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Node,
    Shape,
    mixes_channels,
    with_constants,
)
from edgenet.graph.shapes import infer_shape

Vector = NDArray[np.float64]


def drop_dead_channels(graph: Graph) -> Graph:
    """Return the same network without channels that are provably constant.

    A channel is removed only if every reader can do without it. A convolution adds the constant's effect to
    its bias; if it pads, the constant must be zero, because the bias also acts on the zero padding. A
    depthwise layer loses the same channel.
    """
    bounds = _channel_bounds(graph)
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


def _channel_bounds(graph: Graph) -> dict[str, tuple[Vector, Vector]]:
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
    weight: NDArray[np.float64]
    if isinstance(operator, DepthwiseConv2D):
        repeat = channels // len(low)
        weight = operator.weight.astype(np.float64).reshape(-1, channels).T
        low, high = (np.repeat(end, repeat)[:, None] for end in (low, high))
    else:
        weight = operator.weight.astype(np.float64).reshape(channels, -1, len(low))
    with np.errstate(invalid="ignore"):  # 0 * inf is NaN, but a zero weight ignores an unknown input
        lowest = np.nan_to_num(
            np.minimum(weight * low, weight * high), nan=0.0, neginf=-np.inf, posinf=np.inf
        )
        highest = np.nan_to_num(
            np.maximum(weight * low, weight * high), nan=0.0, neginf=-np.inf, posinf=np.inf
        )
    over = tuple(range(1, weight.ndim))
    bottom, top = operator.activation.bounds
    bias = np.float64(operator.bias)
    return np.clip(lowest.sum(over) + bias, bottom, top), np.clip(highest.sum(over) + bias, bottom, top)
