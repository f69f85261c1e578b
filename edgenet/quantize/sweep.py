"""One sweep through the network, layer by layer, each quantized knowing what the quantized layers before it give.

Two sets of activations are carried over all calibration photos: the float network's, and the integers that the
device will really compute so far (bit for bit, see `integer`). Each weighted layer is rounded against the integers
that it will see, and its bias is set so that its mean is right after the activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import apply, decode_pixels, pad
from edgenet.graph.ir import Graph, Node
from edgenet.graph.operators import WEIGHTED, DepthwiseConv2D, FullyConnected, Weighted
from edgenet.progress import Progress, silent
from edgenet.quantize.encodings import Encoding, QuantizedGraph, QuantizedWeights
from edgenet.quantize.integer import apply_integer
from edgenet.quantize.rounding import least_squares_scales, round_by_second_moments, round_nearest
from edgenet.quantize.weights import quantize_bias

CHUNK = 10
ROWS = 40_000
NEWTON_STEPS = 4
FEWEST_FREE = 0.02


@dataclass(frozen=True)
class SweepOptions:
    """Attributes:
    second_moments: round weights by what the layer sees; else to nearest.
    correct_bias: match each channel's mean after the activation.
    """

    second_moments: bool = True
    correct_bias: bool = True


@dataclass
class _Carried:
    """Activations of all photos: float32 as the float network has them, int8 as the device has them."""

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
    carried = _Carried({graph.input: decode_pixels(graph, images)}, {graph.input: pixels})
    last_use = {name: node.name for node in graph.nodes for name in node.inputs}
    for number, node in enumerate(graph.nodes):
        carried.real[node.output] = _in_chunks(node, carried.real, lambda node, xs: apply(node.operator, xs))
        if isinstance(node.operator, WEIGHTED):
            weights = quantize_layer(
                quantized, node, carried.integers[node.inputs[0]], carried.real[node.output], options
            )
            quantized = replace(quantized, weights={**quantized.weights, node.name: weights})
        now = quantized
        carried.integers[node.output] = _in_chunks(
            node, carried.integers, lambda node, xs: apply_integer(now, node, xs)
        )
        for name in set(node.inputs):
            if last_use[name] == node.name:
                del carried.real[name], carried.integers[name]
        progress("quantizing layers", number + 1, len(graph.nodes))
    return quantized


def _in_chunks(node: Node, values: dict[str, Tensor], step: object) -> Tensor:
    """One node on all photos, a few at a time."""
    inputs = [values[name] for name in node.inputs]
    parts = zip(*(x.split(CHUNK) for x in inputs), strict=True)
    return torch.cat([step(node, list(part)) for part in parts])  # type: ignore[operator]


def quantize_layer(
    quantized: QuantizedGraph, node: Node, seen: Tensor, wanted: Tensor, options: SweepOptions
) -> QuantizedWeights:
    """The integers of one weighted layer.

    Args:
        quantized: with the encodings of the layer's input and output.
        seen: the layer's input on the device, int8 [n, ...].
        wanted: the float layer's output after its activation, [n, ...].
    """
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    source = quantized.encodings[node.inputs[0]]
    scales = least_squares_scales(operator, source.scale)
    rows = list(_input_rows(operator, seen, source))
    if options.second_moments:
        values = round_by_second_moments(operator, scales, _second_moments(operator, rows))
    else:
        values = round_nearest(operator, scales)
    bias = operator.bias
    if options.correct_bias:
        real_weight = values * _broadcast(operator, scales) * np.float32(source.scale)
        bias = _corrected_bias(operator, rows, torch.from_numpy(real_weight), _sample(wanted))
    return QuantizedWeights(values, scales, quantize_bias(bias, source.scale, scales))


def _broadcast(operator: Weighted, scales: NDArray[np.float32]) -> NDArray[np.float32]:
    shape = [1] * operator.weight.ndim
    shape[3 if isinstance(operator, DepthwiseConv2D) else 0] = -1
    return scales.reshape(shape)


def _stride(photos: int, positions: int) -> int:
    """Every how many-th position is looked at, so that all photos together give about ROWS rows."""
    return max(1, photos * positions // ROWS)


def _sample(output: Tensor) -> Tensor:
    """Some positions of every photo's output: [rows, O]."""
    flat = output.reshape(len(output), -1, output.shape[-1])
    return flat[:, :: _stride(len(output), flat.shape[1])].reshape(-1, output.shape[-1])


def _input_rows(operator: Weighted, seen: Tensor, source: Encoding) -> Iterator[Tensor]:
    """What the weights are multiplied with, at the positions of `_sample`, in steps of the input's scale.

    Yields:
        [rows, K] for a convolution or matrix, [rows, K, C] for a depthwise convolution.
    """
    for part in seen.split(CHUNK):
        x = part.to(torch.float32) - source.zero_point
        if isinstance(operator, FullyConnected):
            yield x.reshape(-1, x.shape[-1])
            continue
        patches = _patches(operator, x)
        stride = _stride(len(seen), patches.shape[1])
        chosen = patches[:, ::stride].reshape(-1, *patches.shape[2:])
        yield chosen if isinstance(operator, DepthwiseConv2D) else chosen.reshape(len(chosen), -1)


def _patches(operator: Weighted, x: Tensor) -> Tensor:
    """The windows of a convolution: [n, positions, KH * KW, C]."""
    assert not isinstance(operator, FullyConnected)
    padded = pad(x, operator.pads) if any(operator.pads) else x
    height, width = operator.kernel
    if (height, width) == (1, 1):
        picked = padded[:, :: operator.stride[0], :: operator.stride[1]]
        return picked.reshape(len(x), -1, 1, x.shape[3])
    columns = functional.unfold(
        padded.permute(0, 3, 1, 2), operator.kernel, operator.dilation, 0, operator.stride
    )
    return columns.reshape(len(x), x.shape[3], height * width, -1).permute(0, 3, 2, 1)


def _second_moments(operator: Weighted, rows: list[Tensor]) -> Tensor:
    """Second moments about the mean: the bias correction sees to the mean itself."""
    count = sum(len(part) for part in rows)
    equation = "rkc,rlc->ckl" if isinstance(operator, DepthwiseConv2D) else "rk,rl->kl"
    product = sum(torch.einsum(equation, part, part).to(torch.float64) for part in rows) / count
    mean = sum(part.sum(0).to(torch.float64) for part in rows) / count
    outer = torch.einsum("kc,lc->ckl", mean, mean) if mean.ndim == 2 else torch.outer(mean, mean)
    return product - outer


def _corrected_bias(
    operator: Weighted, rows: list[Tensor], weight: Tensor, wanted: Tensor
) -> NDArray[np.float32]:
    """The bias with which each channel's mean after the activation is the float network's.

    Solved by Newton's method: the mean moves with the bias by the share of values that the activation leaves free.
    """
    if isinstance(operator, DepthwiseConv2D):
        kernel = weight.reshape(-1, weight.shape[3])
        before = torch.cat([torch.einsum("rkc,kc->rc", part, kernel) for part in rows])
    else:
        before = torch.cat(rows) @ weight.reshape(len(weight), -1).T
    low, high = operator.activation.bounds
    target = wanted.to(torch.float64).mean(0)
    bias = torch.from_numpy(operator.bias.astype(np.float64))
    for _ in range(NEWTON_STEPS):
        moved = before + bias.to(torch.float32)
        free = ((moved > low) & (moved < high)).to(torch.float64).mean(0)
        missing = target - moved.clamp(low, high).to(torch.float64).mean(0)
        bias = bias + torch.where(free > FEWEST_FREE, missing / free.clamp(min=FEWEST_FREE), 0.0)
    return bias.to(torch.float32).numpy()
