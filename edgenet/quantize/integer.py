"""Integer execution: compute with torch, bit for bit, what LiteRT's XNNPACK kernels compute on the device.

Unless a comment names another source, the arithmetic is XNNPACK's: int32 accumulators are requantized with
one float32 multiplication and rounded half to even ("fp32 requantization", qs8-requantization).

The float executor computes the nodes that were kept in float. Their sums differ from LiteRT's in the last
bits of float32, and such a difference can flip a later rounding. So the results are exact up to the first
float node, and close from there on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import (
    Observer,
    apply,
    convolve,
    cut,
    free_after,
    keeps_batch,
    last_uses,
    pad,
    reshape,
    tensor_of,
)
from edgenet.graph.ir import (
    WEIGHTED,
    Activation,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    LeakyRelu,
    Mean,
    Node,
    Pad,
    Pool,
    PRelu,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Transpose,
    Unary,
    Weighted,
    output_axis,
)
from edgenet.graph.xnnpack_forms import SCALED
from edgenet.quantize.integer_functions import TABLES, leaky_relu, multiplied, prelu, resized
from edgenet.quantize.quantized_graph import (
    GATE,
    GATE_SHIFT,
    HIGH,
    LOW,
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
)


def run_integer(
    quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None = None
) -> NDArray[np.int8]:
    """Return the int8 logits of photos. `real_logits` also accepts graphs whose last layer was kept in float.

    Args:
        quantized: the graph to run.
        images: uint8 RGB [n, H, W, 3].
        observe: called, photo by photo, with every tensor's name and value [1, ...] as it is made. The value
            is int8, or float32 for a tensor without an encoding, which only float nodes make and read.

    Returns:
        int8 [n, N].

    Raises:
        TypeError: the logits are float, because the last layer was kept in float.
    """
    graph = quantized.graph
    if graph.output not in quantized.encodings:
        raise TypeError(f"the logits of '{graph.name}' are float: use real_logits")
    outputs = [tensors.integer(graph.output).numpy() for tensors in _runs(quantized, images, observe)]
    return np.concatenate(outputs) if outputs else np.zeros((0, graph.classes), np.int8)


def real_logits(
    quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None = None
) -> NDArray[np.float32]:
    """Return the logits of photos as real numbers, float32 [n, N]: the input of the file's softmax.

    The arguments are those of `run_integer`.
    """
    graph = quantized.graph
    outputs = [tensors.real(graph.output).numpy() for tensors in _runs(quantized, images, observe)]
    return np.concatenate(outputs) if outputs else np.zeros((0, graph.classes), np.float32)


TOGETHER = 8
"""Number of photos that run at once if nobody observes them: the layers' weights are prepared once for all of them."""


def _runs(
    quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None
) -> Iterator[TensorStore]:
    """Run all photos and yield the tensors that are left after each run, the output among them."""
    together = TOGETHER if observe is None and keeps_batch(quantized.graph) else 1
    for start in range(0, len(images), together):
        yield _run_some(quantized, images[start : start + together], observe)


def _run_some(quantized: QuantizedGraph, images: NDArray[np.uint8], observe: Observer | None) -> TensorStore:
    pixels = pixels_to_int8(images)
    tensors = TensorStore(quantized.encodings, {quantized.graph.input: pixels}, {})
    if observe:
        observe(quantized.graph.input, tensors.integer(quantized.graph.input))
    last_use = last_uses(quantized.graph)
    for node in quantized.graph.nodes:
        _run_node(quantized, node, tensors)
        if observe:
            observe(node.output, tensors.known(node.output))
        free_after(tensors.integers, node, last_use)
        free_after(tensors.reals, node, last_use)
    return tensors


def pixels_to_int8(images: NDArray[np.uint8]) -> Tensor:
    """Shift uint8 pixels to int8, as the DEQUANTIZE and QUANTIZE at the front of the file do."""
    return torch.from_numpy((images.astype(np.int16) - 128).astype(np.int8))


@dataclass
class TensorStore:
    """The tensors of one run, each as integers, as real numbers or both; each form is computed only once.

    The .tflite file has a DEQUANTIZE where a float node reads an int8 tensor, and a QUANTIZE where an int8 node
    reads a float tensor.

    Attributes:
        encodings: the encodings of the tensors that have an int8 form, by name.
        integers: int8 tensors by name, filled as they are made or converted.
        reals: float32 tensors by name, filled as they are made or converted.
    """

    encodings: Mapping[str, Encoding]
    integers: dict[str, Tensor]
    reals: dict[str, Tensor]

    def integer(self, name: str) -> Tensor:
        """Return the tensor as int8."""
        if name not in self.integers:
            self.integers[name] = _quantize_tensor(self.reals[name], self.encodings[name])
        return self.integers[name]

    def real(self, name: str) -> Tensor:
        """Return the tensor as float32."""
        if name not in self.reals:
            self.reals[name] = _dequantize_tensor(self.integers[name], self.encodings[name])
        return self.reals[name]

    def known(self, name: str) -> Tensor:
        """Return the tensor as int8 if it has an encoding, else as float32."""
        return self.integer(name) if name in self.encodings else self.reals[name]


def _quantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """Quantize real numbers as XNNPACK does (f32-qs8-vcvt): multiply by 1 / scale, round half to even."""
    steps = (values * float(np.float32(1) / np.float32(encoding.scale))).round_()
    return (steps + encoding.zero_point).clamp_(LOW, HIGH).to(torch.int8)


def _dequantize_tensor(values: Tensor, encoding: Encoding) -> Tensor:
    """Return the real numbers that int8 values represent, as XNNPACK computes them (qs8-f32-vcvt)."""
    return (values.to(torch.float32) - encoding.zero_point) * float(np.float32(encoding.scale))


@torch.inference_mode()
def _run_node(quantized: QuantizedGraph, node: Node, tensors: TensorStore) -> None:
    """Run one node, int8 or float, and add its output to the store."""
    if node.name in quantized.kept_float:
        tensors.reals[node.output] = apply(node.operator, [tensors.real(name) for name in node.inputs])
    else:
        inputs = [tensors.integer(name) for name in node.inputs]
        tensors.integers[node.output] = apply_integer(quantized, node, inputs)


def prepared(quantized: QuantizedGraph, node: Node) -> Callable[[list[Tensor]], Tensor]:
    """Return the function that runs one node on int8 NHWC tensors; a layer's weights are made ready only once."""
    operator, output = node.operator, quantized.encodings[node.output]
    if not isinstance(operator, WEIGHTED):
        return lambda inputs: apply_integer(quantized, node, inputs)
    weights, source = quantized.weights[node.name], quantized.encodings[node.inputs[0]]
    sums, scale = LayerSums(operator, weights), torch.from_numpy(multiplier(source, weights, output))
    return lambda inputs: requantize(sums.of(inputs[0], source), scale, output, operator.activation)


def apply_integer(quantized: QuantizedGraph, node: Node, inputs: list[Tensor]) -> Tensor:
    """Run one node on int8 NHWC tensors; returns int8."""
    x, operator = inputs[0], node.operator
    encodings = [quantized.encodings[name] for name in node.inputs]
    output = quantized.encodings[node.output]
    match operator:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return prepared(quantized, node)(inputs)
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
        case Unary(kind=SCALED.kind):
            return _scaled_hard_swish(x, encodings[0], output)
        case Unary():
            table = TABLES[operator.kind](encodings[0], output)
            return torch.from_numpy(table).to(x.device)[x.to(torch.int64) - LOW]
        case LeakyRelu():
            return leaky_relu(operator, x, encodings[0], output)
        case PRelu():
            return prelu(operator, x, encodings[0], output)
        case Slice():
            return cut(x, operator)
        case Resize():
            return resized(operator, x)
        case Softmax():
            return _softmax(x, encodings[0], output)
    raise TypeError(f"no integer execution for {type(operator).__name__}")


def bounds(activation: Activation, output: Encoding) -> tuple[int, int]:
    """Return the lowest and the highest int8 value that an operator with this activation gives."""
    low, high = (_steps(bound, output) for bound in activation.bounds)
    return int(max(low, LOW)), int(min(high, HIGH))


def _steps(bound: float, encoding: Encoding) -> float:
    return float(np.rint(np.float32(bound) / np.float32(encoding.scale)) + encoding.zero_point)


EXACT_IN_FLOAT32 = 2**24
"""float32 holds every whole number up to this one."""
LARGEST_INPUT, LARGEST_WEIGHT = 255, 127
"""The largest magnitudes of an int8 input, counted from its zero point, and of an int8 weight."""


class LayerSums:
    """A layer's exact integer sums of products, for any photos.

    Sums of whole numbers below 2**24 are exact in float32 in any order, so torch's fast float kernels can be used. An
    input lies between -a and LARGEST_INPUT - a, so no sum is larger than LARGEST_INPUT times the sum of the weights of
    one sign.
    """

    def __init__(self, operator: Weighted, weights: QuantizedWeights) -> None:
        self.operator = operator
        self._weight = tensor_of(weights.values).to(torch.float32)
        self._bias = tensor_of(weights.bias).to(torch.float64)
        rows = self._weight.movedim(output_axis(operator), 0).flatten(1)
        one_sign = (rows.abs().sum(1) + rows.sum(1).abs()) / 2
        self._largest = float(one_sign.max()) * LARGEST_INPUT

    def of(self, x: Tensor, source: Encoding) -> Tensor:
        """Return the sums plus bias for an int8 input, in float32 if it holds them exactly, else in float64."""
        centred = x.to(torch.float32).sub_(source.zero_point)
        if self._largest + float(self._bias.abs().max()) < EXACT_IN_FLOAT32:
            return products(self.operator, self._weight, self._bias.to(torch.float32), centred)
        if self._largest < EXACT_IN_FLOAT32:
            return products(self.operator, self._weight, None, centred) + self._bias
        return _products_in_parts(self.operator, self._weight, centred) + self._bias


def products(operator: Weighted, weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """Return a layer's sums of products of whole numbers, by torch's float kernels."""
    if isinstance(operator, FullyConnected):
        return functional.linear(x, weight, bias)
    return convolve(operator, x, weight, bias)


def _products_in_parts(operator: Weighted, weight: Tensor, x: Tensor) -> Tensor:
    """Return sums too long for float32, in float64.

    The input channels are split into parts whose sums float32 holds exactly. Depthwise and grouped
    convolutions are computed at once in float64 instead.
    """
    if isinstance(operator, DepthwiseConv2D) or (isinstance(operator, Conv2D) and operator.groups > 1):
        return products(operator, weight.to(torch.float64), None, x.to(torch.float64))
    window = 1 if isinstance(operator, FullyConnected) else operator.kernel[0] * operator.kernel[1]
    part = max(EXACT_IN_FLOAT32 // (LARGEST_WEIGHT * LARGEST_INPUT * window), 1)
    pieces = zip(x.split(part, dim=-1), weight.split(part, dim=-1), strict=True)
    return torch.stack([products(operator, w, None, piece).to(torch.float64) for piece, w in pieces]).sum(0)


def multiplier(source: Encoding, weights: QuantizedWeights, output: Encoding) -> NDArray[np.float32]:
    """Return the factor with which requantization multiplies each channel's sums, float32 [O]."""
    return np.float32(source.scale) * weights.scales / np.float32(output.scale)


CACHED = 2**16
"""Number of values that are requantized at once: all steps then find them in the CPU's cache."""


def requantize(accumulator: Tensor, scale: Tensor, output: Encoding, activation: Activation) -> Tensor:
    """Return int8 values: the sums times the scale, rounded, within the activation's bounds.

    Args:
        accumulator: the sums, [..., C], which are overwritten.
        scale: float32 [C] or [].
        output: the encoding of the result.
        activation: gives the bounds.
    """
    low, high = bounds(activation, output)
    made = torch.empty(accumulator.shape, dtype=torch.int8, device=accumulator.device)
    channels = accumulator.shape[-1]
    rows = max(1, CACHED // max(1, channels))
    sums, results = (x.reshape(-1, channels).split(rows) for x in (accumulator, made))
    for some, result in zip(sums, results, strict=True):
        real = some.to(torch.float32).mul_(scale)
        result.copy_(real.round_().add_(output.zero_point).clamp_(low, high))
    return made


def _binary(operator: Binary, inputs: list[Tensor], sources: list[Encoding], output: Encoding) -> Tensor:
    a, b = (x.to(torch.int32) for x in inputs)  # as in XNNPACK, no number below needs more bits
    if operator.kind == "mul":
        product = (a - sources[0].zero_point) * (b - sources[1].zero_point)
        scale = np.float32(sources[0].scale) * np.float32(sources[1].scale) / np.float32(output.scale)
        return requantize(product, torch.tensor(scale), output, operator.activation)
    if not all(2**-10 <= source.scale / output.scale < 2**8 for source in sources):
        return _addition_outside(operator, (a, b), sources, output)
    multipliers, shift = _addition_multipliers(sources, output)
    sign = -1 if operator.kind == "sub" else 1
    first = (a - sources[0].zero_point) * multipliers[0]
    second = (b - sources[1].zero_point) * multipliers[1] * sign
    total = (first + second + (1 << (shift - 1))) >> shift
    low, high = bounds(operator.activation, output)
    return (total + output.zero_point).clamp(low, high).to(torch.int8)


def _addition_multipliers(sources: list[Encoding], output: Encoding) -> tuple[list[int], int]:
    """Return the multipliers and the shift of XNNPACK's fixed-point addition (qs8-vadd).

    The larger ratio of an input's scale to the output's gets a multiplier of 21 bits.
    """
    ratios = [np.float32(source.scale) / np.float32(output.scale) for source in sources]
    exponent = int(np.floor(np.log2(max(ratios))))
    shift = 20 - exponent
    return [int(np.rint(np.float64(ratio) * 2.0**shift)) for ratio in ratios], shift


def _addition_outside(
    operator: Binary, inputs: tuple[Tensor, Tensor], sources: list[Encoding], output: Encoding
) -> Tensor:
    """Return the sum or difference as LiteRT's own kernel computes it: XNNPACK refuses scales this far apart."""
    largest = 2 * max(float(np.float32(source.scale)) for source in sources)
    first, second = (
        multiplied((x.to(torch.int64) - source.zero_point) << 20, float(np.float32(source.scale)) / largest)
        for x, source in zip(inputs, sources, strict=True)
    )
    total = first - second if operator.kind == "sub" else first + second
    result = multiplied(total, largest / (2**20 * float(np.float32(output.scale)))) + output.zero_point
    return result.clamp(*bounds(operator.activation, output)).to(torch.int8)


def _scaled_hard_swish(x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Return x * clip(x + 3 / sqrt(6), 0, sqrt(6)) as the file's addition and multiplication compute it."""
    shift = torch.full((1,), HIGH, device=x.device)
    gate = _binary(Binary("add"), [x, shift], [source, GATE_SHIFT], GATE)
    return _binary(Binary("mul"), [x, gate], [source, GATE], output)


def _mean(operator: Mean, x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Return the mean as XNNPACK computes it.

    XNNPACK sums the int8 values without subtracting the zero point, and adds both zero points' contribution
    as one float32 number. The rounding of that addition decides means that lie on a tie.
    """
    total = x.to(torch.int32).sum(dim=(1, 2), keepdim=operator.keep_dims)
    count = x.shape[1] * x.shape[2]
    scale = np.float32(source.scale) / np.float32(output.scale) * (np.float32(1) / np.float32(count))
    offset = np.float32(-source.zero_point * count) * scale + np.float32(output.zero_point)
    mean = total.to(torch.float32) * torch.tensor(scale) + torch.tensor(offset)
    return mean.round().clamp(LOW, HIGH).to(torch.int8)


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
    # XNNPACK has no int8 average pooling, so LiteRT's own kernel runs; it rounds half away from zero.
    mean = total.sign() * torch.floor((total.abs() + torch.floor(count / 2)) / count)
    return mean.permute(0, 2, 3, 1).to(torch.int8)


def _softmax(x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Return the softmax along the last axis as LiteRT's own kernel computes it; XNNPACK has none for int8.

    The kernel takes exponentials from a table and computes in float32.
    """
    below = x.amax(dim=-1, keepdim=True).to(torch.int64) - x
    table = torch.exp(torch.arange(HIGH - LOW + 1, device=x.device) * -np.float32(source.scale).item())
    exponentials = table[below]
    share = exponentials / (exponentials.sum(dim=-1, keepdim=True) * output.scale)
    return (share.round() + output.zero_point).clamp(LOW, HIGH).to(torch.int8)
