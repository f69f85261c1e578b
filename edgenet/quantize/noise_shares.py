"""Measure where the noise at the logits comes from: round one tensor at a time, with all else in float.

The noise that int8 adds to the logits is the sum of many small, nearly independent noises, so their energies
add up. It is different if the file's weights and biases make up for the errors of its activations: then some
of the noise cancels out. (Measured on MobileNets: the sum of the parts is 0.9 times the noise of
`minmax` files, 1.35 times that of `fast` files, whose biases are corrected, and 1.6 to 1.8 times that of
`balanced` files.) Each part is measured by itself:

- The weights' part is the change that the file's weights and biases make when no activation is rounded. The
  file's network is run in float, with its int8 weights as real numbers, and compared with the original float
  network. Changes made on purpose, to make up for the errors of activations, count here too.
- An activation's part is the change in the logits when that one tensor is rounded to its int8 encoding, in
  that same float run of the file's network. It needs no tensor of the original network, so it also works for
  equalized files. The output of a layer kept in float is rounded only for the int8 nodes that read it.
- The part of one layer's weights is the change when this layer's weights and biases from the file are put
  into the original float network. It is known only if the file has the same channels as the float network. An
  equalized file has other channels, and their weights before rounding are not known.

A share is a part divided by the sum of the weights' part and all activations' parts. The weights' part is
split among the layers in proportion to the parts measured for each layer's weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import apply, decode_pixels, keeps_batch, run_tensors
from edgenet.graph.ir import (
    WEIGHTED,
    Concat,
    DepthwiseConv2D,
    Graph,
    Node,
    Operator,
    Pad,
    Pool,
    Reshape,
    Transpose,
    Unary,
    Weighted,
    output_axis,
    per_channel,
)
from edgenet.quantize.integer import real_logits
from edgenet.quantize.matching import Decode, as_integers, decoder_from_encoding, match_tensors, origins
from edgenet.quantize.quantization_errors import sqnr_db
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, QuantizedGraph


@dataclass(frozen=True)
class LayerShare:
    """One layer's shares of the noise at the logits, each 0 to 1.

    Attributes:
        node: the node's name, or the name of the graph's input.
        activations: the share from rounding the node's output.
        weights: the share from the node's weights and biases; None if it cannot be known, 0 if it has no
            weights.
    """

    node: str
    activations: float
    weights: float | None

    @property
    def name(self) -> str:
        """The node's first name, for display: other tools join the names of fused nodes with semicolons."""
        return self.node.split(";")[0]

    @property
    def total(self) -> float:
        """The sum of both shares; unknown weights count as 0."""
        return self.activations + (self.weights or 0.0)

    @property
    def of_weights(self) -> bool:
        """Whether the weights are known to make more noise than the rounding of the node's output."""
        return self.weights is not None and self.weights > self.activations


@dataclass(frozen=True)
class NoiseShares:
    """Where the noise at the logits comes from.

    Attributes:
        photos: number of photos it was measured on.
        sqnr_db: signal-to-quantization-noise ratio of the logits on these photos, dB.
        weights_sqnr_db: the same ratio with the file's weights but with activations in float, dB.
        weights, activations: shares of the noise; together they are 1.
        explained: the sum of the parts divided by the measured noise. It is near 1 where the noises add up,
            and more where some cancel out.
        layers: the layers' shares, in the file's order.
    """

    photos: int
    sqnr_db: float
    weights_sqnr_db: float
    weights: float
    activations: float
    explained: float
    layers: tuple[LayerShare, ...]

    @property
    def cancelled(self) -> float:
        """The share of the parts' sum that cancels out when all roundings happen together, 0 to 1."""
        return max(0.0, 1 - 1 / self.explained) if self.explained else 0.0

    @property
    def hidden(self) -> bool:
        """Whether most noise comes from weights while the layers that make it cannot be known."""
        return self.weights > self.activations and any(layer.weights is None for layer in self.layers)


def noise_shares(
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    decode: Decode | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NoiseShares:
    """Measure the noise that every single rounding adds to the logits.

    For each photo, every tensor and every layer takes about half a run of the network, because only the nodes
    behind the rounded tensor are computed again.

    Args:
        quantized: the graph that runs on the device.
        reference: the lowered float graph that it was made from.
        images: uint8 RGB [n, H, W, 3]; a few photos are enough.
        decode: turns photos into the quantized graph's real input values; needed where the graph's own input
            encoding does not say how.
        progress: called with the number of runs that are done and their total.

    Raises:
        EdgenetError: the graphs do not match.
    """
    measuring = _Measuring(quantized, reference, decode or decoder_from_encoding(quantized.graph))
    size = measuring.batch_size()
    total = -(-len(images) // size) * measuring.runs
    for start in range(0, len(images), size):
        done = start // size * measuring.runs
        measuring.add(images[start : start + size], lambda i, done=done: progress(done + i, total))  # type: ignore[misc]
    return measuring.shares(len(images))


Values = dict[str, Tensor]
Layers = Mapping[str, tuple[Node, Operator | None]]
BATCH_BYTES = 2**27
LARGEST_BATCH = 8


class _Measuring:
    """Sums over photos of the energies at the logits that single roundings make."""

    def __init__(self, quantized: QuantizedGraph, reference: Graph, decode: Decode) -> None:
        self.quantized, self.reference, self.decode = quantized, reference, decode
        self.real = dequantized(quantized)
        self.rounded = _rounded_tensors(quantized)
        matched = match_tensors(quantized.graph, reference)
        self.layers: Layers | None = _swapped_layers(self.real, reference, matched)
        self.runs = len(self.rounded) + len(self.layers or ())
        self.signal = self.noise = self.of_weights = 0.0
        self.of_tensor = dict.fromkeys(self.rounded, 0.0)
        self.of_layer = dict.fromkeys(self.layers or (), 0.0)

    def batch_size(self) -> int:
        """Return the number of photos whose tensors may be held in memory at once."""
        if not (keeps_batch(self.real) and keeps_batch(self.reference)):
            return 1
        per_photo = 4 * sum(int(np.prod(shape)) for shape in self.real.shapes.values())
        return max(1, min(LARGEST_BATCH, BATCH_BYTES // per_photo))

    @torch.inference_mode()
    def add(self, images: NDArray[np.uint8], progress: Callable[[int], None]) -> None:
        """Add the energies measured on some photos."""
        pixels = self.decode(images)
        clean = _all_tensors(self.real, torch.from_numpy(pixels))
        original = _all_tensors(self.reference, decode_pixels(self.reference, images))
        logits, float_logits = clean[self.real.output], original[self.reference.output]
        given = real_logits(self.quantized, as_integers(self.quantized, pixels))
        self.signal += _energy(float_logits)
        self.noise += _energy(torch.from_numpy(given) - float_logits)
        self.of_weights += _energy(logits - float_logits)
        for done, (name, encoding) in enumerate(self.rounded.items(), 1):
            exact = _exact_readers(self.quantized, name)
            changed = rerun(self.real, clean, name, _round(clean[name], encoding), exact)
            self.of_tensor[name] += _energy(changed - logits)
            progress(done)
        for done, (name, (node, operator)) in enumerate((self.layers or {}).items(), len(self.rounded) + 1):
            value = self._with_its_weights(name, node, operator, clean, original)
            self.of_layer[name] += _energy(rerun(self.reference, original, node.output, value) - float_logits)
            progress(done)

    def _with_its_weights(
        self, name: str, node: Node, operator: Operator | None, clean: Values, original: Values
    ) -> Tensor:
        """Return the output of a layer of the float network when it has the file's weights."""
        if operator is not None:
            return apply(operator, [original[i] for i in node.inputs])
        output = next(n.output for n in self.real.nodes if n.name == name)
        return clean[output].reshape(original[node.output].shape)

    def shares(self, photos: int) -> NoiseShares:
        """Return the measured energies as shares."""
        activations = sum(self.of_tensor.values())
        parts = self.of_weights + activations
        return NoiseShares(
            photos=photos,
            sqnr_db=sqnr_db(self.signal, self.noise),
            weights_sqnr_db=sqnr_db(self.signal, self.of_weights),
            weights=_share(self.of_weights, parts),
            activations=_share(activations, parts),
            explained=_share(parts, self.noise),
            layers=tuple(
                LayerShare(name, _share(self.of_tensor.get(output, 0.0), parts), self._weights(name, parts))
                for name, output in self._nodes()
                if output in self.of_tensor or name in self.of_layer
            ),
        )

    def _weights(self, name: str, parts: float) -> float | None:
        """Return this layer's part of the weights' share, or None if it cannot be known."""
        if self.layers is None:
            return None
        of_layers = sum(self.of_layer.values())
        return _share(self.of_layer.get(name, 0.0), of_layers) * _share(self.of_weights, parts)

    def _nodes(self) -> list[tuple[str, str]]:
        return [(self.real.input,) * 2, *((node.name, node.output) for node in self.real.nodes)]


def rerun(
    graph: Graph, clean: Mapping[str, Tensor], name: str, value: Tensor, exact: Set[str] = frozenset()
) -> Tensor:
    """Return the graph's output if one tensor has another value; only the nodes behind it are computed again.

    Args:
        graph: the graph.
        clean: all tensors of a whole run, by name.
        name: the tensor to change.
        value: its new value.
        exact: names of nodes that still read the tensor's old value.
    """
    changed = {name: value}
    for node in graph.nodes:
        affected = {i for i in node.inputs if i in changed} - ({name} if node.name in exact else set())
        if node.output != name and affected:
            changed[node.output] = apply(
                node.operator, [changed[i] if i in affected else clean[i] for i in node.inputs]
            )
    return changed.get(graph.output, clean[graph.output])


def _all_tensors(graph: Graph, first: Tensor) -> Values:
    found: Values = {}
    run_tensors(graph, first, found.__setitem__)
    return found


def _rounded_tensors(quantized: QuantizedGraph) -> dict[str, Encoding]:
    """Return the encodings of the tensors that int8 rounds, without those that only moved int8 values."""
    graph, encodings = quantized.graph, quantized.encodings
    rounding = (n for n in graph.nodes if n.name in quantized.kept_float or not _moves(n.operator))
    made = [graph.input, *(node.output for node in rounding)]
    return {name: encodings[name] for name in made if name in encodings}


def _moves(operator: Operator) -> bool:
    if isinstance(operator, Pool | Unary):
        return operator.kind in ("max", "relu", "relu6")
    return isinstance(operator, Pad | Reshape | Transpose | Concat)


def _exact_readers(quantized: QuantizedGraph, name: str) -> frozenset[str]:
    """Return the nodes that read a tensor unrounded: all float nodes, if a float node makes the tensor."""
    maker = quantized.graph.producers().get(name)
    return quantized.kept_float if maker is not None and maker.name in quantized.kept_float else frozenset()


def _round(x: Tensor, encoding: Encoding) -> Tensor:
    steps = (x / encoding.scale).round_().add_(encoding.zero_point).clamp_(LOW, HIGH)
    return steps.sub_(encoding.zero_point).mul_(encoding.scale)


def _energy(x: Tensor) -> float:
    return float(x.double().square().sum())


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def dequantized(quantized: QuantizedGraph) -> Graph:
    """Return the file's graph with its int8 weights and int32 biases as real numbers, to be run in float."""
    nodes = (replace(node, operator=_real(quantized, node)) for node in quantized.graph.nodes)
    return quantized.graph.with_nodes(nodes)


def _real(quantized: QuantizedGraph, node: Node) -> Operator:
    weights, operator = quantized.weights.get(node.name), node.operator
    if weights is None or not isinstance(operator, WEIGHTED):
        return operator
    scales = weights.scales.astype(np.float64)
    bias = weights.bias * (np.float64(quantized.encodings[node.inputs[0]].scale) * scales)
    values = weights.values * per_channel(operator, weights.scales)
    return replace(operator, weight=values.astype(np.float32), bias=bias.astype(np.float32))


def _swapped_layers(
    real: Graph, reference: Graph, matched: Mapping[str, str]
) -> dict[str, tuple[Node, Operator | None]] | None:
    """Find each layer's node in the float graph, and that node's operator with the file's weights put in.

    Args:
        real: the file's graph with real weights, from `dequantized`.
        reference: the float graph.
        matched: maps the file's tensors to the float graph's, from `match_tensors`.

    Returns:
        A dictionary by the file's node names. The operator is None for a layer that reads the picture,
        because the two graphs may scale the picture differently. The whole result is None if some layer has
        no counterpart, or other channels because the file was equalized.
    """
    producers, origin = reference.producers(), origins(real)
    found: dict[str, tuple[Node, Operator | None]] = {}
    for node in real.nodes:
        if not isinstance(node.operator, WEIGHTED) or origin[node.output] != node.output:
            continue
        theirs = producers.get(matched.get(node.output, ""))
        if theirs is None or not isinstance(theirs.operator, WEIGHTED):
            return None
        if origin[node.inputs[0]] == real.input:
            found[node.name] = theirs, None
        elif _same_channels(node.operator, theirs.operator):
            found[node.name] = theirs, _with_weights(theirs.operator, node.operator)
        else:
            return None
    return found


def _with_weights(operator: Weighted, other: Weighted) -> Weighted:
    return replace(operator, weight=other.weight.reshape(operator.weight.shape), bias=other.bias)


SAME_GAIN = 0.02
"""Int8 weights count as the float weights, rounded, if the median channel's gain differs from 1 by less than
this. Rounding alone moves the gain by 0.003."""


def _same_channels(ours: Weighted, theirs: Weighted) -> bool:
    """Whether the two layers' weights are equal up to rounding, judged by each output channel's gain."""
    depthwise = isinstance(ours, DepthwiseConv2D), isinstance(theirs, DepthwiseConv2D)
    if depthwise[0] != depthwise[1] or ours.weight.size != theirs.weight.size:
        return False
    if len(ours.bias) != len(theirs.bias):
        return False
    a, b = (np.moveaxis(o.weight, output_axis(o), 0).reshape(len(o.bias), -1) for o in (ours, theirs))
    energy = np.square(b, dtype=np.float64).sum(1)
    alive = energy > 0
    gains = (a.astype(np.float64) * b).sum(1)[alive] / energy[alive]
    return bool(np.median(np.abs(gains - 1)) < SAME_GAIN) if alive.any() else True
