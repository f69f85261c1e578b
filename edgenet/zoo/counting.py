"""Counts the mult-adds and parameters of a torch module as the MobileNet papers count them.

Mult-adds are the multiplications of convolutions and fully connected layers. Padding counts like data, batch
normalization is assumed to be folded into the convolutions, and biases and additions are free. Parameters are the
weights of those layers, without biases and batch normalization. This convention reproduces V1's published 569 million
mult-adds and 4.2, 2.6, 1.3, 0.5 and 1.32 million parameters. With biases and batch normalization, V1 0.5 would have
1.33 million parameters, not the 1.32 of table 9.

No value is computed: our own rules (`RULES`) give the shape of every torch function's result. torch's meta device
could do the same, but for these functions it first spends seconds on importing symbolic shapes and the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgenet.zoo.registry import build, parse_variant

Shape = tuple[int, ...]
Pair = tuple[int, int]


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs.

    Attributes:
        mult_adds: the number of mult-adds for one photo.
        parameters: the number of parameters.
    """

    mult_adds: int
    parameters: int


def count(network: nn.Module, resolution: int) -> NetworkCost:
    """Count a network over an input [1,3,resolution,resolution], without computing any value.

    The network runs on the meta device (shapes only), wherever its weights are, and is not changed. Conv2d and Linear
    layers count. A layer that runs twice counts twice in mult-adds and once in parameters.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors.items()}
    photo = torch.empty(1, 3, resolution, resolution, device="meta")
    with torch.no_grad(), _CountingMode() as counter:
        torch.func.functional_call(network, shapes, (photo,))
    return NetworkCost(counter.mult_adds, sum(weight.numel() for weight in counter.weights.values()))


def count_variant(name: str, classes: int = 1000) -> NetworkCost:
    """Count a network by its variant's name, without allocating its weights."""
    variant = parse_variant(name)
    with torch.device("meta"):
        network = build(variant, classes)
    return count(network, variant.resolution)


class _CountingMode(TorchFunctionMode):
    """A context manager that intercepts every call of a torch function and counts mult-adds and weights."""

    def __init__(self) -> None:
        super().__init__()
        self.mult_adds = 0
        self.weights: dict[int, Tensor] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple = (), kwargs: Mapping | None = None
    ) -> Any:
        if func in UNCHANGED:
            return args[0]
        if func not in RULES:
            return func(*args, **(kwargs or {}))
        shape = RULES[func](*args, **(kwargs or {}))
        if func in COUNTED:
            # Each output value takes one multiplication per weight of its filter.
            weight = args[1]
            self.mult_adds += math.prod(shape) * weight[0].numel()
            self.weights[id(weight)] = weight
        return torch.empty(shape, device="meta")


# The only layers whose multiplications and weights count.
COUNTED = frozenset({F.conv2d, F.linear})
# The functions whose result has the shape of their first argument.
UNCHANGED = frozenset(
    {F.batch_norm, F.dropout, F.hardtanh, F.relu6, F.relu, F.hardswish, F.hardsigmoid, torch.relu}
)


def conv_shape(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Shape:
    """Return the shape [N,O,h,w] of a convolution's result; the arguments are those of F.conv2d."""
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(f"a convolution of {weight.shape[1] * groups} input channels got {x.shape[1]}")
    sides = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    return (x.shape[0], len(weight), *((n + 2 * p - (k - 1) * d - 1) // s + 1 for n, k, s, p, d in sides))


def linear_shape(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Shape:
    """Return the shape [..., O] of a linear layer's result; the arguments are those of F.linear."""
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"a linear layer of {weight.shape[1]} inputs got {x.shape[-1]}")
    return (*x.shape[:-1], len(weight))


def max_pool_shape(
    x: Tensor,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Shape:
    """Return the shape [N,C,h,w] of an undilated max pooling's result; the arguments are those of F.max_pool2d."""
    kernels, strides, paddings = (_pair(value) for value in (kernel_size, stride or kernel_size, padding))
    sides = []
    for size, kernel, step, before in zip(x.shape[2:], kernels, strides, paddings, strict=True):
        room = size + 2 * before - kernel + (step - 1 if ceil_mode else 0)
        outputs = room // step + 1
        # torch drops a window that would start in the padding after the picture.
        sides.append(outputs - 1 if ceil_mode and (outputs - 1) * step >= size + before else outputs)
    return (*x.shape[:2], *sides)


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def average_pool_shape(
    x: Tensor, kernel_size: int, stride: int, padding: int = 0, ceil_mode: bool = False, *_: Any
) -> Shape:
    """Return the shape [N,C,h,w] of an average pooling's result; the arguments are those of F.avg_pool2d."""
    return max_pool_shape(x, kernel_size, stride, padding, ceil_mode=ceil_mode)


def adaptive_pool_shape(x: Tensor, output_size: int) -> Shape:
    """Return the shape [N,C,s,s] of an adaptive average pooling's result; s is `output_size`."""
    return (*x.shape[:2], output_size, output_size)


def broadcast_shape(left: Tensor, right: Tensor) -> Shape:
    """Return the shape of the sum or the product of two tensors."""
    return np.broadcast_shapes(left.shape, right.shape)


def concatenated_shape(tensors: list[Tensor], dim: int = 0) -> Shape:
    """Return the shape of concatenated tensors; the arguments are those of torch.cat."""
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return tuple(shape)


# The shape of each function's result.
RULES: Mapping[Callable[..., Any], Callable[..., Shape]] = {
    F.conv2d: conv_shape,
    F.linear: linear_shape,
    F.max_pool2d: max_pool_shape,
    F.avg_pool2d: average_pool_shape,
    F.adaptive_avg_pool2d: adaptive_pool_shape,
    Tensor.add: broadcast_shape,
    Tensor.mul: broadcast_shape,
    torch.cat: concatenated_shape,
}
