"""Measure the int8 error of every tensor, by comparing integer and float execution on the same photos."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from edgenet.errors import EdgenetError
from edgenet.graph.executor import decode_pixels, run
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
from edgenet.quantize.encodings import (
    HIGH,
    LOW,
    ChannelUse,
    Encoding,
    QuantizedGraph,
    channel_use,
    dequantize_array,
    quantize_array,
)
from edgenet.quantize.integer import real_logits
from edgenet.quantize.rotate import mixable


@dataclass(frozen=True)
class LayerError:
    """The error of one tensor.

    Attributes:
        node: name of the node that makes the tensor.
        sqnr_db: signal-to-quantization-noise ratio in dB, 10 * log10(sum(x^2) / sum((x - q)^2)). It includes
            the errors of all earlier layers, and is infinite where there is no error.
        range_used: share of the 256 steps that lies between the smallest and the largest value seen; None for
            a tensor that is float in the file.
        saturated: share of values that are clipped: they have the lowest or highest step while the float
            value lies beyond it. None where the channels were matched, and for a float tensor.
        matched: whether each channel's scale and offset were first fitted to the float network's by least
            squares, because the file was equalized and its channels are scaled differently.
        channels: how the channels share the int8 steps; None for a float tensor.
    """

    node: str
    sqnr_db: float
    range_used: float | None
    saturated: float | None
    matched: bool
    channels: ChannelUse | None


@dataclass(frozen=True)
class LayerErrors:
    """The errors of all tensors that were compared.

    Attributes:
        photos: number of photos.
        same_answer: number of photos for which both networks name the same class.
        equalized: whether the file was equalized, so that its channels had to be matched.
        layers: one entry per tensor, in the file's order.
    """

    photos: int
    same_answer: int
    equalized: bool
    layers: tuple[LayerError, ...]


RESCALED_GAIN = 1.4
RESCALED_CHANNELS = 0.1


class _Sums:
    """Sums over all photos for each channel of one tensor, float64 [C]."""

    def __init__(self, channels: int) -> None:
        # sums of x, q, x * x, q * q, x * q and (x - q)^2, for the float value x and the int8 file's value q
        self.moments = np.zeros((6, channels))
        self.encoding: Encoding | None = None
        self.low = np.full(channels, HIGH, np.int64)
        self.high = np.full(channels, LOW, np.int64)
        self.beyond = self.count = 0

    def add(self, x: NDArray[np.float32], q: NDArray[np.float32]) -> None:
        """Add the float network's values x and the file's values q as real numbers, both [rows, C]."""
        a, b = x.astype(np.float64), q.astype(np.float64)
        self.moments += np.stack([v.sum(0) for v in (a, b, a * a, b * b, a * b, np.square(a - b))])
        self.count += x.size

    def add_steps(self, x: NDArray[np.float32], steps: NDArray[np.int8], encoding: Encoding) -> None:
        """Add the int8 values `steps` that the file has in place of x, both [rows, C]."""
        self.encoding = encoding
        self.low = np.minimum(self.low, steps.min(0))
        self.high = np.maximum(self.high, steps.max(0))
        lowest, highest = dequantize_array(np.array([LOW, HIGH], np.int8), encoding)
        half = encoding.scale / 2
        self.beyond += int(
            ((steps == LOW) & (x < lowest - half) | (steps == HIGH) & (x > highest + half)).sum()
        )

    @property
    def signal(self) -> float:
        """The energy of the float values."""
        return float(self.moments[2].sum())

    def noise(self, matched: bool) -> float:
        """Return the energy of the difference.

        If matched, leave out the part that a scale and an offset per channel explain.
        """
        if not matched:
            return float(self.moments[5].sum())
        energy_x, energy_q, common = self._centred()
        explained = np.divide(common**2, energy_q, out=np.zeros_like(common), where=energy_q > 0)
        return float(np.maximum(energy_x - explained, 0).sum())

    def rescaled(self) -> bool:
        """Whether many channels follow the float channels closely, but on another scale."""
        energy_x, energy_q, common = self._centred()
        alive = (energy_x > 1e-9) & (energy_q > 1e-9)
        if not alive.any():
            return False
        close = common[alive] / np.sqrt(energy_x[alive] * energy_q[alive]) > 0.9
        gain = np.sqrt(energy_q[alive] / energy_x[alive])
        other = (gain > RESCALED_GAIN) | (gain < 1 / RESCALED_GAIN)
        return bool((close & other).mean() > RESCALED_CHANNELS)

    def _centred(self) -> tuple[NDArray, NDArray, NDArray]:
        rows = max(self.count / self.moments.shape[1], 1)
        x, q, xx, qq, xq, _ = self.moments
        return xx - x * x / rows, qq - q * q / rows, xq - x * q / rows


def layer_errors(
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    decode: Decode | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LayerErrors:
    """Compare every tensor of a quantized graph with the float graph it was made from.

    Args:
        quantized: the graph that runs on the device.
        reference: the lowered float graph; `match_tensors` says how tensors are matched.
        images: uint8 RGB [n, H, W, 3].
        decode: turns photos into the quantized graph's real input values; needed where the graph's own input
            encoding does not say how.

    Raises:
        EdgenetError: the graphs do not match.
    """
    names = match_tensors(quantized.graph, reference)
    sums = {name: _Sums(quantized.graph.shapes[name][-1]) for name in names}
    decode = decode or decoder_from_encoding(quantized.graph)
    same = 0
    for index in range(len(images)):
        image = images[index : index + 1]
        same += _compare_one(quantized, reference, (image, decode(image)), names, sums)
        progress(index + 1, len(images))
    producers = quantized.graph.producers()
    equalized = any(total.rescaled() for total in sums.values())
    matched = {name: equalized and name != quantized.graph.output for name in names}
    # The linear tensors of an equalized file were rotated (see `rotate`); no per-channel scale can undo that.
    turned = mixable(quantized.graph).tensors if equalized else frozenset()
    layers = tuple(
        _error(producers[name].name, sums[name], matched[name]) for name in names if name not in turned
    )
    return LayerErrors(len(images), same, equalized, layers)


def _compare_one(
    quantized: QuantizedGraph,
    reference: Graph,
    photo: tuple[NDArray[np.uint8], NDArray[np.float32]],
    names: dict[str, str],
    sums: dict[str, _Sums],
) -> bool:
    """Add one photo's values to the sums, and return whether both networks give the same answer.

    `photo` holds the photo twice: as the reference takes it, and decoded for the file.
    """
    wanted = set(names.values())
    real: dict[str, NDArray[np.float32]] = {}
    answers = {}

    def keep(name: str, value: Tensor) -> None:
        if name in wanted:
            real[name] = value.numpy()

    def compare(name: str, value: Tensor) -> None:
        if name in names:
            _add(sums[name], quantized.encodings.get(name), value.numpy(), real[names[name]])
        if name == quantized.graph.output:
            answers[name] = int(value.argmax())

    logits = run(reference, photo[0], 1, keep)
    real_logits(quantized, as_integers(quantized, photo[1]), compare)
    return answers[quantized.graph.output] == int(logits.argmax())


def _add(total: _Sums, encoding: Encoding | None, values: NDArray, real: NDArray[np.float32]) -> None:
    x = real.reshape(-1, real.shape[-1])
    given: NDArray = values.reshape(x.shape)
    if encoding is None or given.dtype != np.int8:
        total.add(x, given)
        return
    total.add(x, dequantize_array(given, encoding))
    total.add_steps(x, given, encoding)


def _error(node: str, total: _Sums, matched: bool) -> LayerError:
    encoding = total.encoding
    return LayerError(
        node=node,
        sqnr_db=sqnr_db(total.signal, total.noise(matched)),
        range_used=None if encoding is None else float(total.high.max() - total.low.min() + 1) / 256,
        saturated=None if matched or encoding is None else total.beyond / max(total.count, 1),
        matched=matched,
        channels=None if encoding is None else channel_use(total.low, total.high, encoding.zero_point),
    )


def sqnr_db(signal: float, noise: float) -> float:
    """Return the signal-to-quantization-noise ratio in dB, given the two energies."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


# ==== edgenet.quantize.matching
# Match a quantized graph's tensors to those of its float graph, even if another tool has renamed them.

CARRYING = (Pad, Reshape)
"""Operators whose output still holds the values of their input."""


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


def _normalizes(operator: Operator) -> bool:
    """Whether the operator may normalize the picture: in a file, that is one factor for each colour."""
    one_each = isinstance(operator, DepthwiseConv2D) and operator.weight.shape == (1, 1, 1, 3)
    return one_each or isinstance(operator, Affine)


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
                f"the networks differ: layers '{a.name}' and '{b.name}' correspond but make {shapes}", remedy
            )


def _layers(graph: Graph) -> list[Node]:
    origin = origins(graph)
    return [n for n in graph.nodes if isinstance(n.operator, WEIGHTED) and origin[n.output] == n.output]


def _same_shape(graph: Graph, ours: str, reference: Graph, theirs: str) -> bool:
    """Whether the shapes are equal except for axes of size one before the last; a mean may drop those."""
    first, second = graph.shapes[ours], reference.shapes[theirs]
    return [n for n in first if n != 1] == [n for n in second if n != 1] and first[-1] == second[-1]


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


# ==== edgenet.quantize.photo_input
# Turn photos into the input of an int8 file, which takes raw pixels or already normalized numbers.

Decode = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Maps uint8 RGB photos [n, H, W, 3] to the real numbers that the file's input represents, same shape."""


def decoder_from_encoding(graph: Graph) -> Decode:
    """Return the decoding that the file's own input encoding states."""
    return lambda images: decode_pixels(graph, images).numpy()


def as_integers(quantized: QuantizedGraph, values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return real numbers [n, H, W, 3] as uint8 input of `run_integer`, where 0 stands for int8's -128."""
    integers = quantize_array(values, quantized.encodings[quantized.graph.input])
    return (integers.astype(np.int16) - LOW).astype(np.uint8)
