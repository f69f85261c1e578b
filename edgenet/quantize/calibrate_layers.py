"""Quantize the network layer by layer, each with the output of the quantized layers before it.

Two sets of activations are carried along for all calibration photos: those of the float network, and the
integers that the device will really compute (bit for bit, see `integer`). Each weighted layer first makes up
for earlier errors as far as it can (`compensation`). Its weights are then rounded for the integers that the
layer will read, and its bias is set so that the mean after the activation is the float network's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import last_uses, pad, tensor_of
from edgenet.graph.ir import (
    WEIGHTED,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Node,
    Weighted,
    per_channel,
)
from edgenet.progress import Progress, silent
from edgenet.quantize.carried_photos import (
    CHUNK,
    Carried,
    add_more,
    photos_at_nodes,
    run_as_device,
    run_float,
)
from edgenet.quantize.quantized_graph import (
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
    finished,
    float_nodes,
)
from edgenet.quantize.rounding import (
    LARGEST_BLOCK,
    PairedMoments,
    compensation,
    least_squares_scales,
    paired_moments,
    quantize_bias,
    round_by_second_moments,
    round_nearest,
    second_moments,
)

ROWS = 6_000
"""Number of positions, over all photos, from which a layer's rounding and bias are computed. With 20,000, V2 is as good
(22.9 dB) and takes longer; with 4,500 and 48 photos instead of 64 it loses 0.4 dB and takes as long."""


@dataclass(frozen=True)
class LayerOptions:
    """How `quantize_layers` quantizes each layer.

    Attributes:
        second_moments: round weights by the second moments of the layer's input; if False, to nearest.
        correct_bias: set the bias so that each channel's mean after the activation is the float network's.
        compensate: change weights so that they make up for errors of the layer's input.
        rows: number of positions, over all photos, from which a layer's rounding and bias are computed.
    """

    second_moments: bool = True
    correct_bias: bool = True
    compensate: bool = True
    rows: int = ROWS


@torch.inference_mode()
def quantize_layers(
    graph: Graph,
    encodings: dict[str, Encoding],
    images: NDArray[np.uint8],
    options: LayerOptions,
    progress: Progress = silent,
) -> QuantizedGraph:
    """Quantize every layer, in graph order.

    Args:
        graph: a lowered float graph.
        encodings: the encoding of every tensor.
        images: calibration photos, uint8 RGB [n, H, W, 3].
        options: how layers are quantized.
        progress: called after each node.
    """
    quantized = QuantizedGraph(graph, encodings, {}, float_nodes(graph))
    counts, last_use = photos_at_nodes(graph, len(images)), last_uses(graph)
    carried = Carried.of(quantized, images[: counts[0]])
    for number, node in enumerate(graph.nodes):
        if len(carried) < counts[number]:
            add_more(quantized, carried, images[: counts[number]], graph.nodes[:number])
        run_float(quantized, node, carried)
        if isinstance(node.operator, WEIGHTED):
            source = node.inputs[0]
            around = Activations(
                carried.device.integer(source), carried.floats[source], carried.floats[node.output]
            )
            weights = _quantize_layer(quantized, node, around, options)
            quantized = replace(quantized, weights={**quantized.weights, node.name: weights})
        run_as_device(quantized, node, carried.device)
        carried.free_after(node, last_use)
        progress("quantizing layers", number + 1, len(graph.nodes))
    return finished(quantized)


@dataclass(frozen=True)
class Activations:
    """The tensors around a weighted layer for all photos, each [n, ...].

    Attributes:
        device_input: the layer's input on the device, int8.
        float_input: the layer's input in the float network.
        float_output: the layer's output in the float network, after its activation.
    """

    device_input: Tensor
    float_input: Tensor
    float_output: Tensor

    def groups(self, count: int) -> Iterator[Activations]:
        """Split the channels of all three tensors into `count` groups, one item per group."""
        parts = (
            tensor.chunk(count, -1) for tensor in (self.device_input, self.float_input, self.float_output)
        )
        return (Activations(*part) for part in zip(*parts, strict=True))


def _quantize_layer(
    quantized: QuantizedGraph, node: Node, around: Activations, options: LayerOptions
) -> QuantizedWeights:
    """Return the integers of one weighted layer; `quantized` holds the encodings of its input and output."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    if isinstance(operator, Conv2D) and operator.groups > 1:
        return _quantize_groups(quantized, node, operator, around, options)
    source, output = quantized.encodings[node.inputs[0]], around.float_output
    together = _input_rows(operator, around.device_input, output, options.rows, source.zero_point)
    together = together.float().sub_(source.zero_point)
    rows = _in_parts(together, len(output))
    moments: Tensor | list[Tensor] | None = None
    if options.compensate and together.shape[1] <= LARGEST_BLOCK:
        real = _input_rows(operator, around.float_input, output, options.rows)
        real = real.to(torch.float32, copy=True).div_(source.scale)
        paired = _paired_moments(operator, rows, _in_parts(real, len(output)))
        operator, moments = _compensated(operator, paired), paired.together.input
        del real, paired
    scales = least_squares_scales(operator, source.scale)
    if options.second_moments:
        moments = second_moments(operator, rows) if moments is None else moments
        values = round_by_second_moments(operator, scales, moments)
    else:
        values = round_nearest(operator, scales)
    bias = operator.bias
    if options.correct_bias:
        real_weight = values * per_channel(operator, scales) * np.float32(source.scale)
        bias = _corrected_bias(
            operator, together, torch.from_numpy(real_weight), _sample(operator, output, options.rows)
        )
    return QuantizedWeights(values, scales, quantize_bias(bias, source.scale, scales))


def _quantize_groups(
    quantized: QuantizedGraph,
    node: Node,
    operator: Conv2D,
    around: Activations,
    options: LayerOptions,
) -> QuantizedWeights:
    """Quantize each group of a grouped convolution as a convolution of its own channels."""
    weights, biases = (np.split(array, operator.groups) for array in (operator.weight, operator.bias))
    made = []
    for weight, bias, own in zip(weights, biases, around.groups(operator.groups), strict=True):
        part = replace(operator, weight=weight, bias=bias, groups=1)
        made.append(_quantize_layer(quantized, replace(node, operator=part), own, options))
    return QuantizedWeights(
        *(np.concatenate([getattr(part, name) for part in made]) for name in ("values", "scales", "bias"))
    )


def _in_parts(rows: Tensor, photos: int) -> list[Tensor]:
    """Return the rows of all photos in parts of CHUNK photos."""
    return list(rows.split(CHUNK * (len(rows) // photos)))


def _input_rows(operator: Weighted, x: Tensor, output: Tensor, count: int, zero: int = 0) -> Tensor:
    """Return the values that the weights are multiplied with, at the positions of `_sample`, in the input's type.

    Args:
        operator: the layer.
        x: the layer's input for all photos.
        output: the layer's float output; only its shape is used.
        count: see `_grid`.
        zero: the value in `x` that stands for zero.

    Returns:
        [rows, K] for a convolution or matrix, [rows, K, O] for a depthwise convolution: an input channel once for each
        output channel that reads it.
    """
    if isinstance(operator, FullyConnected):
        return x.reshape(-1, x.shape[-1])
    grid, parts = _grid(operator, output, count), x.split(CHUNK) if any(operator.pads) else (x,)
    made = [_windows(operator, part, tuple(output.shape), grid, zero) for part in parts]
    windows = torch.cat(made) if len(made) > 1 else made[0]
    if isinstance(operator, DepthwiseConv2D):
        each = operator.weight.shape[3] // x.shape[3]
        return windows.repeat_interleave(each, dim=2) if each > 1 else windows
    return windows.reshape(len(windows), -1)


def _windows(
    operator: Conv2D | DepthwiseConv2D, x: Tensor, size: tuple[int, ...], grid: tuple[int, int], zero: int
) -> Tensor:
    """Return the windows of a convolution at the grid's positions, [rows, KH * KW, C]."""
    padded = pad(x, operator.pads, zero) if any(operator.pads) else x
    (down, right), (height, width) = grid, size[1:3]
    taps = []
    for row in range(operator.kernel[0]):
        for column in range(operator.kernel[1]):
            top, left = row * operator.dilation[0], column * operator.dilation[1]
            rows = slice(top, top + (height - 1) * operator.stride[0] + 1, operator.stride[0] * down)
            columns = slice(left, left + (width - 1) * operator.stride[1] + 1, operator.stride[1] * right)
            taps.append(padded[:, rows, columns].reshape(-1, x.shape[3]))
    return torch.stack(taps, dim=1) if len(taps) > 1 else taps[0].unsqueeze(1)


def _sample(operator: Weighted, output: Tensor, count: int) -> Tensor:
    """Return the output at the sampled positions of every photo, [rows, O]."""
    if output.ndim != 4:
        return output.reshape(-1, output.shape[-1])
    down, right = _grid(operator, output, count)
    return output[:, ::down, ::right].reshape(-1, output.shape[-1])


DEPTHWISE_VALUES = 2**17
"""The largest number of positions times channels of a depthwise layer, which has few unknowns for each channel."""


def _grid(operator: Weighted, output: Tensor, count: int) -> tuple[int, int]:
    """Return the strides over rows and columns at which outputs are sampled.

    All photos together give about `count` samples. A depthwise layer gets fewer, because it has many channels
    with few unknowns each.
    """
    photos, height, width, channels = output.shape
    rows = min(count, DEPTHWISE_VALUES // channels) if isinstance(operator, DepthwiseConv2D) else count
    share = max(1.0, photos * height * width / rows)
    down = min(height, max(1, round(math.sqrt(share))))
    return down, min(width, max(1, round(share / down)))


def _paired_moments(operator: Weighted, device_rows: list[Tensor], float_rows: list[Tensor]) -> PairedMoments:
    if isinstance(operator, DepthwiseConv2D):
        device_rows, float_rows = (
            [part.permute(2, 0, 1).contiguous() for part in rows] for rows in (device_rows, float_rows)
        )
    return paired_moments(device_rows, float_rows)


def _compensated(operator: Weighted, moments: PairedMoments) -> Weighted:
    """Return the layer with weights that make up for errors of its input; see `compensation`."""
    weight = tensor_of(operator.weight).to(torch.float64)
    if isinstance(operator, DepthwiseConv2D):
        change = compensation(weight.reshape(-1, weight.shape[3]).T.unsqueeze(1), moments)[:, 0].T
    else:
        change = compensation(weight.reshape(len(weight), -1), moments)
    return replace(operator, weight=(weight + change.reshape(weight.shape)).to(torch.float32).numpy())


CHANNELS = 64
"""Number of channels whose bias is computed at once, so that temporary arrays stay small."""


def _corrected_bias(
    operator: Weighted, together: Tensor, weight: Tensor, output: Tensor
) -> NDArray[np.float32]:
    """Return the bias with which each channel's mean after the activation equals the float network's."""
    target = output.sum(0, dtype=torch.float64) / len(output)
    bias = torch.from_numpy(operator.bias.astype(np.float64))
    if _unbounded(operator.activation.bounds) and not isinstance(operator, DepthwiseConv2D):
        # Without an activation the sums' means are those of the inputs, and no sum needs to be known.
        mean = together.sum(0, dtype=torch.float64) / len(together)
        return (target - weight.reshape(len(weight), -1).double() @ mean).to(torch.float32).numpy()
    for start in range(0, len(bias), CHANNELS):
        part = slice(start, start + CHANNELS)
        if isinstance(operator, DepthwiseConv2D):
            kernel = weight.reshape(-1, weight.shape[3])[:, part]
            before = (together[:, :, part] * kernel).sum(1)
        else:
            before = together @ weight.reshape(len(weight), -1)[part].T
        bias[part] = solve_bias(before, bias[part], target[part], operator.activation.bounds)
    return bias.to(torch.float32).numpy()


NEWTON_STEPS = 2
EVERY, FEWEST_ROWS = 5, 256
"""Newton's method uses only every fifth row if it leaves so many."""
FEWEST_FREE = 0.02
"""A channel keeps its bias if the activation clips all but this share of its values."""


def solve_bias(before: Tensor, bias: Tensor, target: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Solve for the bias by Newton's method.

    The derivative of the mean by the bias is the share of values that the activation does not clip. What the mean over
    all rows lacks is made up for on a part of the rows, and what it lacks after that is made up for once more.

    Args:
        before: the layer's sums without a bias, [rows, O].
        bias: where to start, float64 [O].
        target: the wanted means after the activation, float64 [O].
        bounds: those of the activation.
    """
    if _unbounded(bounds):
        return target - before.mean(0)
    some = before[::EVERY].contiguous() if len(before) >= EVERY * FEWEST_ROWS else before
    missing = target - _clipped(before, bias, bounds)[1]
    wanted = _clipped(some, bias, bounds)[1] + missing
    for _ in range(NEWTON_STEPS):
        kept, mean = _clipped(some, bias, bounds)
        free = torch.eq(kept, some, out=kept).mean(0)  # as floats, which add up faster than truth values
        share = torch.where(free > FEWEST_FREE, free, torch.inf)
        bias = bias + (wanted - mean) / share
    return bias + (target - _clipped(before, bias, bounds)[1]) / share


def _clipped(before: Tensor, bias: Tensor, bounds: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Return the sums, still without the bias, where the activation clips them, and the means after it, [O]."""
    low, high = ((bound - bias).to(torch.float32) for bound in bounds)  # bounds are fewer than sums
    kept = before.clamp(low, high)
    return kept, kept.mean(0) + bias


def _unbounded(bounds: tuple[float, float]) -> bool:
    return math.isinf(bounds[0]) and math.isinf(bounds[1])
