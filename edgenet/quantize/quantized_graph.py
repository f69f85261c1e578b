"""The quantized graph: a float graph, the integers that represent it, and the layers kept in float.

The scheme is that of the "TensorFlow Lite 8-bit quantization specification": real = scale * (q - zero_point).
Activations are int8 per tensor, weights int8 symmetric per output channel, biases int32.

Mixed precision works on the result of any recipe (`keep_float`). A layer kept in float uses the float weights
of the quantized graph's own operators, which equalization may have scaled. Nodes between two such layers are
computed in float too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import WEIGHTED, Graph, Operator, float_only, per_channel
from edgenet.graph.xnnpack_forms import ROOT, SHIFT

LOW, HIGH = -128, 127
WEIGHT_LIMIT = 127
BIAS_LIMIT = 2**30
SMALLEST_SCALE = 1e-20
"""With smaller scales, a product of two of them would underflow float32; no network has such values."""


@dataclass(frozen=True, eq=False)
class QuantizedGraph:
    """A float graph and the integers that represent it.

    Attributes:
        graph: the float graph, lowered to the operators that a .tflite file has.
        encodings: by tensor name, the encoding of the input and of every tensor that an int8 node makes or
            reads.
        weights: by node name, the integers of every weighted int8 node.
        kept_float: names of the nodes that are computed in float32 with the graph's own weights.
        steps: the steps that made the integers, in words, for the manifest.
    """

    graph: Graph
    encodings: Mapping[str, Encoding]
    weights: Mapping[str, QuantizedWeights]
    kept_float: frozenset[str] = frozenset()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoding:
    """The encoding of one int8 tensor: real = scale * (q - zero_point). The scale is a float32 value."""

    scale: float
    zero_point: int


GATE = Encoding(float(np.float32(ROOT / (HIGH - LOW))), LOW)
"""The encoding of a scaled_hard_swish's clipped sum, which saturates at 0 and sqrt(6)."""
GATE_SHIFT = Encoding(float(np.float32(SHIFT / HIGH)), 0)
"""The encoding of what is added in it: HIGH stands for 3 / sqrt(6)."""


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """The integers of one weighted operator.

    Attributes:
        values: int8 weights, in the operator's own layout.
        scales: float32 [O], one weight scale per output channel.
        bias: int32 [O]; its scale is the input's scale times the weights' scale.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]


def quantize_array(values: NDArray[np.floating], encoding: Encoding) -> NDArray[np.int8]:
    """Quantize real numbers to int8, rounding half to even and saturating."""
    q = np.rint(values.astype(np.float32) / np.float32(encoding.scale)) + encoding.zero_point
    return np.clip(q, LOW, HIGH).astype(np.int8)


def dequantize_array(values: NDArray[np.int8], encoding: Encoding) -> NDArray[np.float32]:
    """Return the real numbers that int8 values represent, float32."""
    return (values.astype(np.float32) - np.float32(encoding.zero_point)) * np.float32(encoding.scale)


def quantized_slopes(slope: NDArray[np.float32]) -> tuple[NDArray[np.int8], float]:
    """Return a PRelu's slopes as symmetric int8 [C], and their scale."""
    scale = np.float32(max(float(np.abs(slope).max()), SMALLEST_SCALE) / WEIGHT_LIMIT)
    return np.rint(slope / scale).astype(np.int8), float(scale)


def keep_float(quantized: QuantizedGraph, layers: Iterable[str]) -> QuantizedGraph:
    """Return the same graph with these layers in float32, in addition to those it already keeps in float.

    The operators that have no int8 form (`float_only`) are in float32 in any case.

    Args:
        quantized: the graph to change.
        layers: names of weighted nodes.
    """
    graph = quantized.graph
    floats = float_nodes(graph, {*layers, *float_layers(quantized)})
    if not floats:
        return quantized
    int8 = _int8_tensors(graph, floats)
    return replace(
        quantized,
        encodings={name: encoding for name, encoding in quantized.encodings.items() if name in int8},
        weights={name: weights for name, weights in quantized.weights.items() if name not in floats},
        kept_float=floats,
    )


LARGEST_FACTOR = 255.0
"""The largest factor from a layer's sums to its output: XNNPACK ends the process at 256 and above."""


def finished(quantized: QuantizedGraph) -> QuantizedGraph:
    """Return the same graph with the operators that have no int8 form in float32, and with factors that LiteRT takes.

    A layer's sums have the scale of its input times that of its weights. Where that is over LARGEST_FACTOR times the
    scale of the output, a single step of both is more than the output can hold. Such layers read tensors that were zero
    on all photos, or are almost constant themselves. Finer weights then lose nothing, also where they are clipped.
    """
    quantized = keep_float(quantized, ())
    weights = dict(quantized.weights)
    for node in quantized.graph.nodes:
        if node.name in weights:
            source, output = (quantized.encodings[name].scale for name in (node.inputs[0], node.output))
            largest = np.float32(LARGEST_FACTOR * output / source)
            if weights[node.name].scales.max() > largest:
                weights[node.name] = _with_finer_steps(node.operator, weights[node.name], largest)
    return replace(quantized, weights=weights)


def _with_finer_steps(operator: Operator, weights: QuantizedWeights, largest: np.float32) -> QuantizedWeights:
    """Return the weights with no scale above the largest, clipped where they are too large for it."""
    assert isinstance(operator, WEIGHTED)
    scales = np.minimum(weights.scales, largest)
    ratio = np.float64(weights.scales) / scales
    values = np.rint(weights.values * per_channel(operator, ratio)).clip(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    bias = np.rint(weights.bias * ratio).clip(-BIAS_LIMIT, BIAS_LIMIT)
    return QuantizedWeights(values.astype(np.int8), scales, bias.astype(np.int32))


def float_layers(quantized: QuantizedGraph) -> tuple[str, ...]:
    """Return the names of the weighted nodes that are float, in graph order."""
    return tuple(name for name in weighted_layers(quantized.graph) if name in quantized.kept_float)


def weighted_layers(graph: Graph) -> tuple[str, ...]:
    """Return the names of the nodes that have weights, in graph order."""
    return tuple(node.name for node in graph.nodes if isinstance(node.operator, WEIGHTED))


def float_nodes(graph: Graph, layers: Iterable[str] = ()) -> frozenset[str]:
    """Return the nodes that are computed in float32.

    These are the given layers, the operators that have no int8 form, and the nodes without weights whose neighbours
    are all float. The graph's input and output do not count as neighbours: the picture exists in both forms, and
    the scores are float in the end.
    """
    certain = {*layers, *(node.name for node in graph.nodes if float_only(node))}
    if not certain:
        return frozenset()
    neighbours = _neighbours(graph)
    floats = certain | ({node.name for node in graph.nodes} - set(weighted_layers(graph)))
    while outside := {name for name in floats - certain if not neighbours[name] <= floats}:
        floats -= outside
    return frozenset(floats)


def _int8_tensors(graph: Graph, floats: frozenset[str]) -> set[str]:
    """Return the input and all tensors that int8 nodes make or read."""
    int8 = [node for node in graph.nodes if node.name not in floats]
    return {graph.input, *(node.output for node in int8), *(name for node in int8 for name in node.inputs)}


def layers_around(graph: Graph, name: str) -> tuple[str, ...]:
    """Return, in graph order, the layers to keep in float so that all readers of a node get its output in float.

    If only the layer itself is float, its weights are not rounded, but its output is still rounded for its
    readers.

    Args:
        graph: the graph.
        name: the node's name. For the input, which is always int8, the result is empty.
    """
    made = next((node.output for node in graph.nodes if node.name == name), None)
    if made is None:
        return ()
    layers, neighbours = weighted_layers(graph), _neighbours(graph)
    found: set[str] = set()
    wanted = {name, *(node.name for node in graph.nodes if made in node.inputs)}
    while wanted:
        found |= wanted
        # A node without weights is float only if all its neighbours are.
        wanted = {near for node in wanted if node not in layers for near in neighbours[node]} - found
    return tuple(layer for layer in layers if layer in found)


def _neighbours(graph: Graph) -> dict[str, set[str]]:
    """Map every node to its neighbours: the nodes that make its inputs or read its output."""
    makers = {node.output: node.name for node in graph.nodes}
    found: dict[str, set[str]] = {node.name: set() for node in graph.nodes}
    for node in graph.nodes:
        for source in (makers[name] for name in node.inputs if name in makers):
            found[node.name].add(source)
            found[source].add(node.name)
    return found
