"""One sweep through the network, layer by layer, each quantized knowing what the quantized layers before it give.

Two sets of activations are carried over all calibration photos: the float network's, and the integers that the
device will really compute so far (bit for bit, see `integer`). Each weighted layer makes up for the errors before it
as far as it can (`compensate`), is rounded against the integers that it will see, and its bias is set so that its mean
is right after the activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import apply, decode_pixels, forget, last_uses, pad
from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, Conv2D, DepthwiseConv2D, FullyConnected, Weighted
from edgenet.progress import Progress, silent
from edgenet.quantize.compensate import compensation
from edgenet.quantize.encodings import Encoding, QuantizedGraph, QuantizedWeights
from edgenet.quantize.integer import apply_integer
from edgenet.quantize.moments import second_moments
from edgenet.quantize.rounding import TOGETHER, least_squares_scales, round_by_second_moments, round_nearest
from edgenet.quantize.weights import per_channel, quantize_bias

CHUNK = 2
"""Photos at once: few enough that temporary arrays are reused instead of fetched from the system each time."""
ROWS = 20_000
"""Positions that a layer's rounding and bias are computed from, over all photos."""
DEPTHWISE_VALUES = 2**20
CHANNELS = 64
NEWTON_STEPS = 4
FEWEST_FREE = 0.02


@dataclass(frozen=True)
class SweepOptions:
    """Attributes:
    second_moments: round weights by what the layer sees; else to nearest.
    correct_bias: match each channel's mean after the activation.
    compensate: change weights so that they make up for errors of their input.
    """

    second_moments: bool = True
    correct_bias: bool = True
    compensate: bool = True


@dataclass(frozen=True)
class Activations:
    """What surrounds a weighted layer, over all photos [n, ...].

    Attributes:
        seen: its input on the device, int8.
        real: its input in the float network.
        wanted: its output in the float network, after its activation.
    """

    seen: Tensor
    real: Tensor
    wanted: Tensor

    def groups(self, count: int) -> Iterator[Activations]:
        """Each group's own channels."""
        parts = (tensor.chunk(count, -1) for tensor in (self.seen, self.real, self.wanted))
        return (Activations(*part) for part in zip(*parts, strict=True))


@dataclass
class _Carried:
    """Activations of all photos: as the float network has them, and int8 as the device has them.

    The float ones wait in half precision, which costs half the memory; its error is 60 dB down, far below int8's.
    """

    real: dict[str, Tensor]
    integers: dict[str, Tensor]


@torch.inference_mode()
def sweep(
    graph: Graph,
    encodings: dict[str, Encoding],
    images: NDArray[np.uint8],
    options: SweepOptions,
    progress: Progress = silent,
) -> QuantizedGraph:
    """Quantizes every layer in the order of the graph.

    Args:
        graph: lowered, float.
        encodings: of every tensor.
        images: calibration photos, uint8 RGB [n, H, W, 3].
    """
    quantized = QuantizedGraph(graph, encodings, {})
    pixels = torch.from_numpy((images.astype(np.int16) - 128).astype(np.int8))
    decoded = decode_pixels(graph, images).to(_waiting_dtype(encodings[graph.input]))
    carried = _Carried({graph.input: decoded}, {graph.input: pixels})
    last_use = last_uses(graph)
    for number, node in enumerate(graph.nodes):
        step = partial(_apply_float, _waiting_dtype(encodings[node.output]))
        carried.real[node.output] = _in_chunks(node, carried.real, step)
        if isinstance(node.operator, WEIGHTED):
            source = node.inputs[0]
            around = Activations(carried.integers[source], carried.real[source], carried.real[node.output])
            weights = quantize_layer(quantized, node, around, options)
            quantized = replace(quantized, weights={**quantized.weights, node.name: weights})
        carried.integers[node.output] = _in_chunks(node, carried.integers, partial(apply_integer, quantized))
        forget(carried.real, node, last_use)
        forget(carried.integers, node, last_use)
        progress("quantizing layers", number + 1, len(graph.nodes))
    return quantized


def _waiting_dtype(encoding: Encoding) -> torch.dtype:
    """Half precision where a tensor's range lies well inside what it can say, else float32."""
    span = encoding.scale * 256
    return torch.float16 if 1e-2 < span < 3e4 else torch.float32


def _apply_float(dtype: torch.dtype, node: Node, inputs: list[Tensor]) -> Tensor:
    return apply(node.operator, [x.float() for x in inputs]).to(dtype)


def _in_chunks(node: Node, values: dict[str, Tensor], step: Callable[[Node, list[Tensor]], Tensor]) -> Tensor:
    """One node on all photos, a few at a time."""
    inputs = [values[name] for name in node.inputs]
    parts = zip(*(x.split(CHUNK) for x in inputs), strict=True)
    made: Tensor | None = None
    for number, part in enumerate(parts):
        result = step(node, list(part))
        if made is None:
            made = result.new_empty((len(inputs[0]), *result.shape[1:]))
        made[number * CHUNK : number * CHUNK + len(result)] = result
    assert made is not None
    return made


def quantize_layer(
    quantized: QuantizedGraph, node: Node, around: Activations, options: SweepOptions
) -> QuantizedWeights:
    """The integers of one weighted layer; `quantized` has the encodings of its input and output."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    if isinstance(operator, Conv2D) and operator.groups > 1:
        return _quantize_groups(quantized, node, operator, around, options)
    source, wanted = quantized.encodings[node.inputs[0]], around.wanted
    rows = list(_input_rows(operator, _seen_steps(around, source), wanted))
    if options.compensate:
        real = list(_input_rows(operator, _real_steps(around, source), wanted))
        operator = _compensated(operator, rows, real)
    scales = least_squares_scales(operator, source.scale)
    if options.second_moments:
        values = round_by_second_moments(operator, scales, second_moments(operator, rows))
    else:
        values = round_nearest(operator, scales)
    bias = operator.bias
    if options.correct_bias:
        real_weight = values * per_channel(operator, scales) * np.float32(source.scale)
        bias = _corrected_bias(operator, rows, torch.from_numpy(real_weight), _sample(operator, wanted))
    return QuantizedWeights(values, scales, quantize_bias(bias, source.scale, scales))


def _quantize_groups(
    quantized: QuantizedGraph,
    node: Node,
    operator: Conv2D,
    around: Activations,
    options: SweepOptions,
) -> QuantizedWeights:
    """Each group as the convolution that it is, of its own channels of what is seen and wanted."""
    weights, biases = (np.split(array, operator.groups) for array in (operator.weight, operator.bias))
    made = []
    for weight, bias, own in zip(weights, biases, around.groups(operator.groups), strict=True):
        part = replace(operator, weight=weight, bias=bias, groups=1)
        made.append(quantize_layer(quantized, replace(node, operator=part), own, options))
    return QuantizedWeights(
        *(np.concatenate([getattr(part, name) for part in made]) for name in ("values", "scales", "bias"))
    )


def _grid(operator: Weighted, output: Tensor) -> tuple[int, int]:
    """Steps over rows and columns at which outputs are looked at.

    All photos together give about ROWS rows; for a depthwise layer, which has few unknowns in each of many
    channels, fewer.
    """
    photos, height, width, channels = output.shape
    rows = min(ROWS, DEPTHWISE_VALUES // channels) if isinstance(operator, DepthwiseConv2D) else ROWS
    share = max(1.0, photos * height * width / rows)
    down = min(height, max(1, round(math.sqrt(share))))
    return down, min(width, max(1, round(share / down)))


def _sample(operator: Weighted, output: Tensor) -> Tensor:
    """Some positions of every photo's output: [rows, O]."""
    if output.ndim != 4:
        return output.reshape(-1, output.shape[-1])
    down, right = _grid(operator, output)
    return output[:, ::down, ::right].reshape(-1, output.shape[-1])


def _seen_steps(around: Activations, source: Encoding) -> Iterator[Tensor]:
    """The input on the device in steps of its scale from zero, some photos at a time."""
    return (part.to(torch.float32) - source.zero_point for part in around.seen.split(CHUNK))


def _real_steps(around: Activations, source: Encoding) -> Iterator[Tensor]:
    """The float network's input in the same steps."""
    return (part.to(torch.float32) / source.scale for part in around.real.split(CHUNK))


def _input_rows(operator: Weighted, inputs: Iterable[Tensor], output: Tensor) -> Iterator[Tensor]:
    """What the weights are multiplied with, at the positions of `_sample`.

    Args:
        inputs: the layer's input, some photos in each part.
        output: the layer's float output, for its shape.

    Yields:
        [rows, K] for a convolution or matrix, [rows, K, C] for a depthwise convolution.
    """
    for x in inputs:
        if isinstance(operator, FullyConnected):
            yield x.reshape(-1, x.shape[-1])
            continue
        windows = _windows(operator, x, tuple(output.shape), _grid(operator, output))
        yield windows if isinstance(operator, DepthwiseConv2D) else windows.reshape(len(windows), -1)


def _windows(
    operator: Conv2D | DepthwiseConv2D, x: Tensor, size: tuple[int, ...], grid: tuple[int, int]
) -> Tensor:
    """The windows of a convolution at the grid's positions: [rows, KH * KW, C]."""
    padded = pad(x, operator.pads) if any(operator.pads) else x
    (down, right), (height, width) = grid, size[1:3]
    taps = []
    for row in range(operator.kernel[0]):
        for column in range(operator.kernel[1]):
            top, left = row * operator.dilation[0], column * operator.dilation[1]
            rows = slice(top, top + (height - 1) * operator.stride[0] + 1, operator.stride[0] * down)
            columns = slice(left, left + (width - 1) * operator.stride[1] + 1, operator.stride[1] * right)
            taps.append(padded[:, rows, columns].reshape(-1, x.shape[3]))
    return torch.stack(taps, dim=1)


def _compensated(operator: Weighted, seen: list[Tensor], real: list[Tensor]) -> Weighted:
    """The layer with weights that make up for errors of its input; see `compensate`."""
    weight = torch.from_numpy(operator.weight).to(torch.float64)
    if isinstance(operator, DepthwiseConv2D):
        kernels = weight.reshape(-1, weight.shape[3]).T.unsqueeze(1)
        turned = ([part.permute(2, 0, 1) for part in rows] for rows in (seen, real))
        change = compensation(kernels, *turned)[:, 0].T
    elif seen[0].shape[1] <= TOGETHER:
        change = compensation(weight.reshape(len(weight), -1), seen, real)
    else:
        return operator
    return replace(operator, weight=(weight + change.reshape(weight.shape)).to(torch.float32).numpy())


def _corrected_bias(
    operator: Weighted, rows: list[Tensor], weight: Tensor, wanted: Tensor
) -> NDArray[np.float32]:
    """The bias with which each channel's mean after the activation is the float network's."""
    together = torch.cat(rows)
    target = wanted.sum(0, dtype=torch.float64) / len(wanted)
    bias = torch.from_numpy(operator.bias.astype(np.float64))
    for start in range(0, len(bias), CHANNELS):  # a few at a time, so that temporary arrays stay small
        part = slice(start, start + CHANNELS)
        if isinstance(operator, DepthwiseConv2D):
            kernel = weight.reshape(-1, weight.shape[3])[:, part]
            before = (together[:, :, part] * kernel).sum(1)
        else:
            before = together @ weight.reshape(len(weight), -1)[part].T
        bias[part] = _solve_bias(before, bias[part], target[part], operator.activation.bounds)
    return bias.to(torch.float32).numpy()


def _solve_bias(before: Tensor, bias: Tensor, target: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Newton's method: the mean moves with the bias by the share of values that the activation leaves free."""
    low, high = bounds
    for _ in range(NEWTON_STEPS):
        moved = before + bias.to(torch.float32)
        free = ((moved > low) & (moved < high)).sum(0) / len(moved)
        missing = target - moved.clamp_(low, high).sum(0, dtype=torch.float64) / len(moved)
        bias = bias + torch.where(free > FEWEST_FREE, missing / free.clamp(min=FEWEST_FREE), 0.0)
    return bias
