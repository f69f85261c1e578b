"""Depthwise convolutions over maps that are smaller than their filter, trained as fast as over others on a CPU.

oneDNN has no fast kernel for the gradient of their weights: on maps of 2x2 it takes 100 times as long as on maps of 4x4
(256 channels, 128 photos, torch 2.13). The gradient is a sum over the map, to which zeros around it add nothing; with
enough of them the kernel is the fast one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class FastSmallMaps(TorchFunctionMode):
    """While it is entered, convolutions over maps that are too small take their gradient the fast way."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is functional.conv2d and not kwargs and len(args) == 7 and _is_slow(*args):
            x, weight, _, stride, padding, _, _ = args
            return _Depthwise.apply(x, weight, tuple(stride), tuple(padding))
        return function(*args, **(kwargs or {}))


def _is_slow(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> bool:
    depthwise = groups > 1 and groups == x.shape[1] == weight.shape[0]
    plain = bias is None and not isinstance(padding, str) and tuple(dilation) == (1, 1)
    return x.device.type == "cpu" and depthwise and plain and any(_missing(x, weight, stride))


def _missing(x: Tensor, weight: Tensor, stride: tuple[int, int]) -> list[int]:
    """How many rows and columns a map lacks for the fast kernel."""
    return [max(weight.shape[i] + stride[i - 2] - 1 - x.shape[i], 0) for i in (2, 3)]


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = context.saved_tensors
        (gradient,) = gradients
        stride, padding = context.stride, context.padding
        of_x, of_weight = context.needs_input_grad[:2]
        common = (stride, padding, (1, 1), False, (0, 0), len(weight))
        backward = torch.ops.aten.convolution_backward
        to_x = backward(gradient, x, weight, None, *common, (True, False, False))[0] if of_x else None
        if not of_weight:
            return to_x, None, None, None
        rows, columns = _missing(x, weight, stride)
        wide = functional.pad(x, (0, columns, 0, rows))
        outputs = [
            (wide.shape[i] + 2 * padding[i - 2] - weight.shape[i]) // stride[i - 2] + 1 for i in (2, 3)
        ]
        below, beside = (outputs[i] - gradient.shape[i + 2] for i in (0, 1))
        wide_gradient = functional.pad(gradient, (0, beside, 0, below))
        to_weight = backward(wide_gradient, wide, weight, None, *common, (False, True, False))[1]
        return to_x, to_weight, None, None
