"""Double noisy channels: the mean of two int8 copies is as good as rounding to half steps (arXiv 1901.09504).

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

from edgenet.graph.cost import cost, node_mult_adds
from edgenet.graph.dead_channels import TILE
from edgenet.graph.ir import Activation, Conv2D, DepthwiseConv2D, Graph, Node, Pad, with_constants
from edgenet.graph.shapes import infer_shape
from edgenet.quantize.quantized_graph import Encoding
from edgenet.quantize.sensitivity import ACTIVATION_STEPS, Sensitivity, activation_noise


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
    tiles = [t for chain in _chains(graph) for t in _tiles(graph, chain, encodings, sensitivity)]
    left = share * cost(graph).mult_adds
    chosen: dict[str, list[_Tile]] = {}
    for tile in sorted(tiles, key=lambda t: t.saved / t.mult_adds, reverse=True):
        if tile.mult_adds > left:
            break
        left -= tile.mult_adds
        chosen.setdefault(tile.chain.depthwise.name, []).append(tile)
    nodes = {node.name: node for node in graph.nodes}
    for parts in chosen.values():
        channels = np.sort(np.concatenate([tile.channels for tile in parts]))
        _append_copies(nodes, parts[0].chain, channels, encodings)
    changed = [nodes[node.name] for node in graph.nodes]
    shapes = dict(graph.shapes)
    for node in changed:
        shapes[node.output] = infer_shape(node.operator, [shapes[name] for name in node.inputs])
    return graph.with_nodes(changed, shapes)


@dataclass(frozen=True, eq=False)
class _Chain:
    """A depthwise layer, the convolution that makes its input, and the only one that reads its output."""

    maker: Node
    depthwise: Node
    reader: Node


def _chains(graph: Graph) -> Iterator[_Chain]:
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
            yield _Chain(maker, node, reader)


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

    chain: _Chain
    channels: NDArray[np.int64]
    saved: float
    mult_adds: int


SAVED_BEFORE, SAVED_BEHIND = 0.75, 0.6
"""Fraction of the rounding noise that doubling saves at the depthwise layer's input and at its output. The
copies of the output differ by more than their offsets, so less is saved there."""


def _tiles(
    graph: Graph, chain: _Chain, encodings: Mapping[str, Encoding], sensitivity: Sensitivity
) -> Iterator[_Tile]:
    """Yield the chain's channels in tiles of TILE, noisiest first."""

    def noise(name: str) -> NDArray[np.float64]:
        return activation_noise(
            np.full_like(sensitivity.tensors[name], ACTIVATION_STEPS * encodings[name].scale),
            sensitivity.tensors[name],
        )

    saved = SAVED_BEFORE * noise(chain.maker.output) + SAVED_BEHIND * noise(chain.depthwise.output)
    order = np.argsort(-saved, kind="stable")
    nodes = (chain.maker, chain.depthwise, chain.reader)
    each = sum(node_mult_adds(graph, node) for node in nodes) // len(saved)
    for start in range(0, len(order) - TILE + 1, TILE):
        channels = order[start : start + TILE]
        yield _Tile(chain, channels, float(saved[channels].sum()), TILE * each)


QUARTER = 0.25


def _append_copies(
    nodes: dict[str, Node],
    chain: _Chain,
    channels: NDArray[np.int64],
    encodings: Mapping[str, Encoding],
) -> None:
    """Append the copies of the channels after the existing channels in all three layers."""
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
