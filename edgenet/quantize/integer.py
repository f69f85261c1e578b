"""The integer reading: what LiteRT's XNNPACK kernels compute, bit for bit, written with torch.

Where a comment names no other source, the arithmetic is XNNPACK's: int32 accumulators, requantized with one
float32 multiplication and rounded half to even ("fp32 requantization", qs8-requantization).

Nodes that were kept in float are computed by the float executor. Their sums differ from LiteRT's in the last bits of
float32, which can turn a rounding behind them: up to the first of them the reading is exact, from there on it is near.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import apply, convolve, forget, last_uses, pad, reshape, tensor_of
from edgenet.graph.ir import Node
from edgenet.graph.operators import (
    Activation,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Pad,
    Pool,
    Reshape,
    Softmax,
    Transpose,
    Unary,
    Weighted,
)
from edgenet.quantize.encodings import HIGH, LOW, Encoding, QuantizedGraph, QuantizedWeights
from edgenet.quantize.forms import Forms
from edgenet.quantize.tables import hard_swish_table, sigmoid_table
from edgenet.quantize.weights import output_axis

EXACT_IN_FLOAT32 = 2**24
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127
TABLES = {"hard_swish": hard_swish_table, "sigmoid": sigmoid_table}

Observer = Callable[[str, Tensor], None]


def run_integer(
    quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None = None
) -> NDArray[np.int8]:
    """The int8 logits of photos; `real_logits` also takes graphs whose last layer was kept in float.

    Args:
        images: uint8 RGB [n, H, W, 3].
        observe: called with every tensor's name and value [1, ...] as it is made, photo by photo: int8, but float32
            for a tensor that has no encoding because only float nodes make and read it.

    Returns:
        int8 [n, N].
    """
    graph = quantized.graph
    if graph.output not in quantized.encodings:
        raise TypeError(f"the logits of '{graph.name}' are float: use real_logits")
    outputs = [_run_one(quantized, image, observe).integer(graph.output)[0].numpy() for image in images]
    return np.stack(outputs) if outputs else np.zeros((0, graph.classes), np.int8)


def real_logits(
    quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None = None
) -> NDArray[np.float32]:
    """The logits of photos as real numbers, float32 [n, N]: what the file's softmax takes. See `run_integer`."""
    graph = quantized.graph
    outputs = [_run_one(quantized, image, observe).real(graph.output)[0].numpy() for image in images]
    return np.stack(outputs) if outputs else np.zeros((0, graph.classes), np.float32)


def _run_one(quantized: QuantizedGraph, image: NDArray[np.uint8], observe: Observer | None) -> Forms:
    forms = first_forms(quantized, image[None])
    if observe:
        observe(quantized.graph.input, forms.integer(quantized.graph.input))
    last_use = last_uses(quantized.graph)
    for node in quantized.graph.nodes:
        compute(quantized, node, forms)
        if observe:
            observe(node.output, forms.known(node.output))
        forget(forms.integers, node, last_use)
        forget(forms.reals, node, last_use)
    return forms


def first_forms(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> Forms:
    """Photos [n, H, W, 3] as the graph's input, the only tensor that is there."""
    # the file's DEQUANTIZE and QUANTIZE in front amount to this shift of the zero point
    pixels = torch.from_numpy((images.astype(np.int16) - 128).astype(np.int8))
    return Forms(quantized.encodings, {quantized.graph.input: pixels}, {})


@torch.inference_mode()
def compute(quantized: QuantizedGraph, node: Node, forms: Forms) -> None:
    """One node, int8 or float, from the tensors that are there to the one that it makes."""
    if node.name in quantized.kept_float:
        forms.reals[node.output] = apply(node.operator, [forms.real(name) for name in node.inputs])
    else:
        inputs = [forms.integer(name) for name in node.inputs]
        forms.integers[node.output] = apply_integer(quantized, node, inputs)


def apply_integer(quantized: QuantizedGraph, node: Node, inputs: list[Tensor]) -> Tensor:
    """One node on int8 NHWC tensors; returns int8."""
    x, operator = inputs[0], node.operator
    encodings = [quantized.encodings[name] for name in node.inputs]
    output = quantized.encodings[node.output]
    match operator:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return _weighted(operator, quantized.weights[node.name], x, encodings[0], output)
        case Binary():
            return _binary(operator, inputs, encodings, output)
        case Mean():
            return _mean(operator, x, encodings[0], output)
        case Pool():
            return _pool(operator, x)
        case Pad():
            value = LOW if operator.value < 0 else encodings[0].zero_point
            return pad(x, operator.pads, value)
        case Concat():
            return torch.cat(inputs, dim=operator.axis)
        case Reshape():
            return reshape(x, operator)
        case Transpose():
            return x.permute(operator.permutation).contiguous()
        case Unary(kind="relu" | "relu6" as kind):
            return x.clamp(*bounds(Activation(kind), output))
        case Unary():
            table = TABLES[operator.kind](encodings[0], output)
            return torch.from_numpy(table).to(x.device)[x.to(torch.int64) - LOW]
        case Softmax():
            return _softmax(x, encodings[0], output)
    raise TypeError(f"no integer execution for {type(operator).__name__}")


def bounds(activation: Activation, output: Encoding) -> tuple[int, int]:
    """The lowest and highest int8 value that an operator with this activation gives."""
    low, high = (_steps(bound, output) for bound in activation.bounds)
    return int(max(low, LOW)), int(min(high, HIGH))


def _steps(bound: float, encoding: Encoding) -> float:
    return float(np.rint(np.float32(bound) / np.float32(encoding.scale)) + encoding.zero_point)


def _requantize(accumulator: Tensor, scale: Tensor, output: Encoding, activation: Activation) -> Tensor:
    low, high = bounds(activation, output)
    real = accumulator.to(torch.float32) * scale
    return real.round_().add_(output.zero_point).clamp_(low, high).to(torch.int8)


def _weighted(
    operator: Weighted,
    weights: QuantizedWeights,
    x: Tensor,
    source: Encoding,
    output: Encoding,
) -> Tensor:
    centred = x.to(torch.float32) - source.zero_point
    if not isinstance(operator, FullyConnected) and any(operator.pads):
        centred = pad(centred, operator.pads)
    weight, bias = tensor_of(weights.values).to(torch.float32), tensor_of(weights.bias).to(torch.float64)
    accumulator = _accumulate(operator, weight, bias, centred)
    scale = multiplier(source, weights, output)
    return _requantize(accumulator, torch.from_numpy(scale), output, operator.activation)


def multiplier(source: Encoding, weights: QuantizedWeights, output: Encoding) -> NDArray[np.float32]:
    """What requantization multiplies each channel's sums by, float32 [O]."""
    return np.float32(source.scale) * weights.scales / np.float32(output.scale)


def _accumulate(operator: Weighted, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    """The exact integer sums with their bias, in float32 where it holds them, else in float64.

    Sums of whole numbers below 2**24 are exact in float32 whatever their order, so the fast float kernels serve.
    """
    magnitudes = weight.movedim(output_axis(operator), 0).flatten(1).abs().sum(1)
    if float(magnitudes.max()) * LARGEST_INPUT + float(bias.abs().max()) < EXACT_IN_FLOAT32:
        return products(operator, weight, bias.to(torch.float32), x)
    return _products_in_parts(operator, weight, x) + bias


def products(operator: Weighted, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Sums of products of whole numbers, which torch's float kernels take; `x` is padded already."""
    if isinstance(operator, FullyConnected):
        return functional.linear(x, weight, bias)
    return convolve(operator, x, weight, bias)


def _products_in_parts(operator: Weighted, weight: Tensor, x: Tensor) -> Tensor:
    """Longer sums, cut into parts over the input channels that float32 holds; of groups, at once in float64."""
    if isinstance(operator, DepthwiseConv2D) or (isinstance(operator, Conv2D) and operator.groups > 1):
        return products(operator, weight.to(torch.float64), None, x.to(torch.float64))
    window = 1 if isinstance(operator, FullyConnected) else operator.kernel[0] * operator.kernel[1]
    part = max(EXACT_IN_FLOAT32 // (LARGEST_WEIGHT * LARGEST_INPUT * window), 1)
    pieces = zip(x.split(part, dim=-1), weight.split(part, dim=-1), strict=True)
    return torch.stack([products(operator, w, None, piece).to(torch.float64) for piece, w in pieces]).sum(0)


def _mean(operator: Mean, x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """XNNPACK sums the steps as they are and adds what both zero points amount to as one float32 number.

    The rounding of that sum decides means that lie on a tie.
    """
    total = x.to(torch.int32).sum(dim=(1, 2), keepdim=operator.keep_dims)
    count = x.shape[1] * x.shape[2]
    scale = np.float32(source.scale) / np.float32(output.scale) * (np.float32(1) / np.float32(count))
    offset = np.float32(-source.zero_point * count) * scale + np.float32(output.zero_point)
    mean = total.to(torch.float32) * torch.tensor(scale) + torch.tensor(offset)
    return mean.round().clamp(LOW, HIGH).to(torch.int8)


def _binary(operator: Binary, inputs: list[Tensor], sources: list[Encoding], output: Encoding) -> Tensor:
    a, b = (x.to(torch.int64) for x in inputs)
    if operator.kind == "mul":
        product = (a - sources[0].zero_point) * (b - sources[1].zero_point)
        scale = np.float32(sources[0].scale) * np.float32(sources[1].scale) / np.float32(output.scale)
        return _requantize(product, torch.tensor(scale), output, operator.activation)
    multipliers, shift = _addition_multipliers(sources, output)
    sign = -1 if operator.kind == "sub" else 1
    first = (a - sources[0].zero_point) * multipliers[0]
    second = (b - sources[1].zero_point) * multipliers[1] * sign
    total = (first + second + (1 << (shift - 1))) >> shift
    low, high = bounds(operator.activation, output)
    return (total + output.zero_point).clamp(low, high).to(torch.int8)


def _addition_multipliers(sources: list[Encoding], output: Encoding) -> tuple[list[int], int]:
    """XNNPACK's fixed-point addition (qs8-vadd): the larger ratio of the scales gets a multiplier of 21 bits."""
    ratios = [np.float32(source.scale) / np.float32(output.scale) for source in sources]
    exponent = int(np.floor(np.log2(max(ratios))))
    shift = 20 - exponent
    return [int(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in ratios], shift


def _pool(operator: Pool, x: Tensor) -> Tensor:
    picture = x.permute(0, 3, 1, 2).to(torch.float32)
    size, stride, pads = operator.size, operator.stride, operator.pads
    around = (pads.left, pads.right, pads.top, pads.bottom)
    if operator.kind == "max":
        picture = functional.pad(picture, around, value=LOW)
        return functional.max_pool2d(picture, size, stride).permute(0, 2, 3, 1).to(torch.int8)
    inside = functional.pad(torch.ones_like(picture[:, :1]), around)
    total = functional.avg_pool2d(functional.pad(picture, around), size, stride, divisor_override=1)
    count = functional.avg_pool2d(inside, size, stride, divisor_override=1)
    # LiteRT's own kernel rounds half away from zero; XNNPACK has no int8 average pooling
    mean = total.sign() * torch.floor((total.abs() + torch.floor(count / 2)) / count)
    return mean.permute(0, 2, 3, 1).to(torch.int8)


def _softmax(x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Along the last axis, by LiteRT's own kernel (XNNPACK has none in int8): exponentials from a table, in float32."""
    below = x.amax(dim=-1, keepdim=True).to(torch.int64) - x
    table = torch.exp(torch.arange(HIGH - LOW + 1, device=x.device) * -np.float32(source.scale).item())
    exponentials = table[below]
    share = exponentials / (exponentials.sum(dim=-1, keepdim=True) * output.scale)
    return (share.round() + output.zero_point).clamp(LOW, HIGH).to(torch.int8)
