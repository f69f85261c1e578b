"""Speeds up, on CPUs, the training of depthwise convolutions whose input maps are smaller than their filter.

For such maps oneDNN has no fast kernel for the weight gradient: it takes 100 times as long on 2x2 maps as on 4x4 maps
(256 channels, 128 photos, torch 2.13). The weight gradient is a sum over the map, so zeros added around the map do not
change it. With enough zeros the map is large enough for the fast kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class FastSmallMaps(TorchFunctionMode):
    """A context manager: inside it, depthwise convolutions over small maps compute their gradient the fast way."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.conv2d and not kwargs and len(args) == 7:
            x, weight, bias, stride, padding, dilation, groups = args
            if _is_slow(x, weight, stride, padding, dilation, groups):
                return _Depthwise.apply(x, weight, bias, _pair(stride), _pair(padding))
        return function(*args, **(kwargs or {}))


def _is_slow(x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    depthwise = groups > 1 and groups == x.shape[1] == weight.shape[0]
    ours = x.device.type == "cpu" and x.dtype == weight.dtype and not torch.is_autocast_enabled("cpu")
    plain = ours and not isinstance(padding, str) and _pair(dilation) == (1, 1)
    return depthwise and plain and any(_missing(x, weight, _pair(stride)))


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _missing(x: Tensor, weight: Tensor, stride: Pair) -> Pair:
    """Return how many rows and columns must be added to the map for oneDNN's fast kernel to apply."""
    rows, columns = (max(weight.shape[i] + stride[i - 2] - 1 - x.shape[i], 0) for i in (2, 3))
    return rows, columns


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = context.saved_tensors
        common = (context.stride, context.padding, (1, 1), False, (0, 0), len(weight))
        backward = torch.ops.aten.convolution_backward
        to_x = to_weight = to_bias = None
        of_x, of_weight, of_bias = context.needs_input_grad[:3]
        (gradient,) = gradients
        if of_x:
            to_x = backward(gradient, x, weight, None, *common, (True, False, False))[0]
        if of_weight:
            rows, columns = _missing(x, weight, context.stride)
            wide = functional.pad(x, (0, columns, 0, rows))
            wide_gradient = _widen(gradient, wide, weight, context.stride, context.padding)
            to_weight = backward(wide_gradient, wide, weight, None, *common, (False, True, False))[1]
        if of_bias:
            to_bias = gradient.sum((0, 2, 3))
        return to_x, to_weight, to_bias, None, None


def _widen(gradient: Tensor, wide: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the output gradient, with zeros added for the outputs that only the widened map has."""
    height, width = (
        (wide.shape[i] + 2 * padding[i - 2] - weight.shape[i]) // stride[i - 2] + 1 for i in (2, 3)
    )
    return functional.pad(gradient, (0, width - gradient.shape[3], 0, height - gradient.shape[2]))
