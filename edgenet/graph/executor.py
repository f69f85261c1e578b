"""Runs a graph in float32 with torch on the CPU, and says where each pixel of a resized picture comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.ir import (
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    LeakyRelu,
    MatMul,
    Mean,
    Node,
    Operator,
    Pad,
    Pads,
    PixelEncoding,
    Pool,
    PRelu,
    Reduce,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Standardize,
    Transpose,
    Unary,
    WithConstant,
)


@dataclass(frozen=True, eq=False)
class Taps:
    """The two input positions between which each output position along one axis lies, [N] each.

    Attributes:
        low, high: their indices.
        share: the weight of the position `high`, float32 from 0 to 1.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]


def taps(operator: Resize, size: tuple[int, int]) -> tuple[Taps, Taps]:
    """Return the taps along height and width of a bilinear resizing of a picture of this height and width.

    The positions are computed in float32 in XNNPACK's order of operations (`indirection.c`).
    """
    along = (_taps_along(operator, n, m) for n, m in zip(size, operator.size, strict=True))
    height, width = along
    return height, width


def _taps_along(operator: Resize, source: int, target: int) -> Taps:
    steps = operator.align_corners and target > 1
    scale = np.float32(source - steps) / np.float32(target - steps)
    offset = np.float32(0.5) * scale - np.float32(0.5) if operator.half_pixel else np.float32(0)
    positions = np.arange(target, dtype=np.float32) * scale + offset
    positions = positions.clip(0, source - 1).astype(np.float32)
    low = positions.astype(np.int64)
    return Taps(low, np.minimum(low + 1, source - 1), positions - low.astype(np.float32))


def nearest(operator: Resize, size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the input rows and columns that the nearest-pixel resizing picks, as LiteRT computes them."""
    rows, columns = (_nearest_along(operator, n, m) for n, m in zip(size, operator.size, strict=True))
    return rows, columns


def _nearest_along(operator: Resize, source: int, target: int) -> NDArray[np.int64]:
    steps = operator.align_corners and target > 1
    scale = np.float32(source - steps) / np.float32(target - steps)
    offset = np.float32(0.5 if operator.half_pixel else 0.0)
    positions = (np.arange(target, dtype=np.float32) + offset) * scale
    if operator.align_corners:
        positions = positions.astype(np.float64) + 0.5  # LiteRT rounds with std::round, which takes halves up
    whole = np.floor(positions)
    return whole.astype(np.int64).clip(0, source - 1)


def resize(x: Tensor, operator: Resize) -> Tensor:
    """Resize pictures [n, H, W, C] of any type by the nearest pixel, or float32 ones bilinearly."""
    size = (x.shape[1], x.shape[2])
    if operator.kind == "nearest":
        rows, columns = (torch.from_numpy(picked) for picked in nearest(operator, size))
        return x[:, rows][:, :, columns]
    height, width = taps(operator, size)
    share = torch.from_numpy(height.share)[:, None, None]
    x = torch.lerp(x[:, height.low], x[:, height.high], share)
    share = torch.from_numpy(width.share)[:, None]
    return torch.lerp(x[:, :, width.low], x[:, :, width.high], share)


Observer = Callable[[str, Tensor], None]


PIXELS_AT_ONCE, MOST_AT_ONCE = 2 * 224 * 224, 16
"""Number of pixels, and the largest number of photos, that go through a network at once. They are few because the
activations take most of a conversion's memory; more at once are not faster."""


def photos_at_once(graph: Graph) -> int:
    """Return the number of photos that `run` puts through the graph at once; 1 if the graph cannot batch."""
    if not keeps_batch(graph):
        return 1
    _, height, width, _ = graph.shapes[graph.input]
    return min(MOST_AT_ONCE, max(2, PIXELS_AT_ONCE // (height * width)))


def run(
    graph: Graph, images: NDArray[np.uint8], batch_size: int | None = None, observe: Observer | None = None
) -> NDArray[np.float32]:
    """Run the graph on photos.

    Args:
        images: uint8 RGB [n, H, W, 3].
        batch_size: the number of photos per batch; None for `photos_at_once`. It is 1 if the graph cannot batch.
        observe: called with the name and value [b, ...] of the input and then of each tensor once computed.

    Returns:
        The output, float32 [n, N].
    """
    size = photos_at_once(graph) if batch_size is None or not keeps_batch(graph) else batch_size
    outputs = []
    for start in range(0, len(images), size):
        first = decode_pixels(graph, images[start : start + size])
        outputs.append(run_tensors(graph, first, observe).numpy())
    return np.concatenate(outputs) if outputs else np.zeros((0, graph.classes), np.float32)


@torch.inference_mode()
def run_tensors(graph: Graph, value: Tensor, observe: Observer | None = None) -> Tensor:
    """Run the graph on decoded input [n, H, W, 3]; each tensor is freed after its last use."""
    values = {graph.input: value}
    if observe:
        observe(graph.input, value)
    last_use = last_uses(graph)
    for node in graph.nodes:
        result = apply(node.operator, [values[name] for name in node.inputs])
        values[node.output] = result
        if observe:
            observe(node.output, result)
        free_after(values, node, last_use)
    return values[graph.output]


def decode_pixels(graph: Graph, images: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 RGB [n, H, W, 3] into the graph's input values, float32 of the same shape.

    Without a pixel encoding the values stay 0 to 255.
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(torch.float32)
    encoding = graph.pixels or PixelEncoding()
    return (pixels - encoding.zero_point) * float(np.float32(encoding.scale))


def keeps_batch(graph: Graph) -> bool:
    """Return whether the first axis of every tensor is the batch, so that several photos can run at once."""
    batch_moves = any(
        isinstance(n.operator, Transpose) and n.operator.permutation[0] != 0 for n in graph.nodes
    )
    return not batch_moves and all(shape[0] == 1 for shape in graph.shapes.values())


def last_uses(graph: Graph) -> dict[str, str]:
    """Map each tensor to the node that reads it last; the graph's output is left out, so that it is kept."""
    last = {name: node.name for node in graph.nodes for name in node.inputs}
    last.pop(graph.output, None)
    return last


def free_after(values: dict[str, Tensor], node: Node, last_use: Mapping[str, str]) -> None:
    """Drop this node's inputs from `values` if no later node reads them."""
    for name in set(node.inputs):
        if last_use.get(name) == node.name:
            values.pop(name, None)


UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "scaled_hard_swish": lambda x: functional.hardswish(x * 6**0.5),
    "hard_sigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
}
BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
}


def apply(operator: Operator, inputs: list[Tensor]) -> Tensor:
    """Compute one operator on NHWC tensors with any batch size."""
    x = inputs[0]
    match operator:
        case Conv2D() | DepthwiseConv2D():
            weight, bias = tensor_of(operator.weight), tensor_of(operator.bias)
            return activate(convolve(operator, x, weight, bias), operator.activation)
        case FullyConnected():
            weight, bias = tensor_of(operator.weight), tensor_of(operator.bias)
            return activate(functional.linear(x, weight, bias), operator.activation)
        case Affine():
            return x * tensor_of(operator.scale) + tensor_of(operator.offset)
        case Unary():
            return UNARY[operator.kind](x)
        case Binary():
            return activate(BINARY[operator.kind](x, inputs[1]), operator.activation)
        case Pool():
            return _pool(operator, x)
        case Mean():
            return x.mean(dim=(1, 2), keepdim=operator.keep_dims)
        case Pad():
            return pad(x, operator.pads, operator.value)
        case Concat():
            return torch.cat(inputs, dim=operator.axis)
        case Reshape():
            return reshape(x, operator)
        case Transpose():
            return x.permute(operator.permutation).contiguous()
        case Softmax():
            return x.log_softmax(dim=-1) if operator.log else x.softmax(dim=-1)
        case LeakyRelu():
            return functional.leaky_relu(x, operator.slope)
        case PRelu():
            return torch.where(x > 0, x, x * tensor_of(operator.slope))
        case Slice():
            return cut(x, operator)
        case Resize():
            return resize(x, operator)
    return _apply_float_only(operator, inputs)


def _apply_float_only(operator: Operator, inputs: list[Tensor]) -> Tensor:
    """Compute one of the operators in FLOAT_ONLY."""
    x = inputs[0]
    match operator:
        case Standardize():
            centred = x - x.mean(operator.axes, keepdim=True)
            variance = centred.square().mean(operator.axes, keepdim=True)
            return centred * torch.rsqrt(variance + operator.epsilon)
        case MatMul():
            return torch.matmul(x, inputs[1].mT if operator.transpose_second else inputs[1])
        case Reduce():
            reduce = torch.mean if operator.kind == "mean" else torch.sum
            return reduce(x, operator.axes, keepdim=True)
        case WithConstant(kind="concat"):
            value = tensor_of(operator.value).expand(len(x), *operator.value.shape[1:])
            return torch.cat([value, x], dim=operator.axis)
        case WithConstant():
            return BINARY[operator.kind](x, tensor_of(operator.value))
    raise TypeError(f"no float execution for {type(operator).__name__}")


def convolve(operator: Conv2D | DepthwiseConv2D, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve an NHWC tensor with the given weights instead of the operator's own, without the activation.

    Args:
        operator: gives the padding with zeros, the stride, dilation and groups.
        x: [n, H, W, C].
        weight: in the operator's own layout.
        bias: [O], or None for no bias.
    """
    groups = operator.groups if isinstance(operator, Conv2D) else x.shape[3]
    if _is_matrix(operator):
        return functional.linear(x, weight.reshape(len(weight), -1), bias)
    kernel = _torch_kernel(operator, weight).contiguous(memory_format=torch.channels_last)
    top, bottom, left, right = operator.pads
    around = (top, left)
    if top != bottom or left != right:  # even padding is left to torch, whose kernels then need no copy of x
        x, around = pad(x, operator.pads), (0, 0)
    picture = x.permute(0, 3, 1, 2)
    y = functional.conv2d(picture, kernel, bias, operator.stride, around, operator.dilation, groups)
    return y.permute(0, 2, 3, 1)


def _is_matrix(operator: Conv2D | DepthwiseConv2D) -> bool:
    """Whether a convolution is one matrix for every position; torch multiplies it faster than it convolves."""
    plain = isinstance(operator, Conv2D) and operator.groups == 1 and not any(operator.pads)
    return plain and operator.kernel == operator.stride == (1, 1)


def _torch_kernel(operator: Conv2D | DepthwiseConv2D, weight: Tensor) -> Tensor:
    """Permute a weight from TFLite's layout to torch's: [O, I / groups, KH, KW]."""
    return weight.permute(0, 3, 1, 2) if isinstance(operator, Conv2D) else weight.permute(3, 0, 1, 2)


def _pool(operator: Pool, x: Tensor) -> Tensor:
    if operator.kind == "max":
        padded = pad(x, operator.pads, -torch.inf) if any(operator.pads) else x
        y = functional.max_pool2d(padded.permute(0, 3, 1, 2), operator.size, operator.stride)
        return y.permute(0, 2, 3, 1)
    return _average(operator, x) / _average(operator, torch.ones_like(x[:1, :, :, :1]))


def _average(operator: Pool, x: Tensor) -> Tensor:
    padded = pad(x, operator.pads).permute(0, 3, 1, 2)
    return functional.avg_pool2d(padded, operator.size, operator.stride).permute(0, 2, 3, 1)


def pad(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """Pad [n, H, W, C] with `value` around the picture."""
    return functional.pad(x, (0, 0, pads.left, pads.right, pads.top, pads.bottom), value=value)


def reshape(x: Tensor, operator: Reshape) -> Tensor:
    """Reshape x; if the target's first axis is 1, it is the batch and may have any size."""
    return x.reshape(-1, *operator.shape[1:]) if operator.shape[0] == 1 else x.reshape(operator.shape)


def cut(x: Tensor, operator: Slice) -> Tensor:
    """Return a part of x; along the first axis, the batch, it is kept whole."""
    ends = zip(operator.begin[1:], operator.end[1:], operator.stride[1:], strict=True)
    return x[(slice(None), *(slice(*part) for part in ends))].contiguous()


def activate(x: Tensor, activation: Activation) -> Tensor:
    """Apply an operator's activation to its result x, in place."""
    low, high = activation.bounds
    return x if activation is Activation.NONE else x.clamp_(low, None if np.isinf(high) else high)


def tensor_of(array: NDArray) -> Tensor:
    """Return a constant as a torch tensor of the same memory, which nobody may write to."""
    return torch.from_numpy(array if array.flags.writeable else np.asarray(_Unlocked(array)))


class _Unlocked:
    """An array of read-only memory, such as that of a file, as one that could be written to.

    Torch knows no read-only memory, and copies of all weights would take as much memory as the network again.
    """

    def __init__(self, array: NDArray) -> None:
        self._array = array  # keeps the memory
        known = array.__array_interface__
        self.__array_interface__ = {**known, "data": (known["data"][0], False)}
