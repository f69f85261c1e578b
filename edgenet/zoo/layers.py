"""The building blocks of the networks: convolutions and pooling with TensorFlow's padding, and parallel branches."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

Padding = Literal["same", "symmetric"]
# A single layer may also have no padding at all ("valid"), whatever its network uses.
LayerPadding = Literal["same", "symmetric", "valid"]
Kernel = int | tuple[int, int]


@dataclass(frozen=True)
class BlockStyle:
    """The settings that all blocks of one network share.

    Attributes:
        padding: "same" is TensorFlow's rule; "symmetric" is torch's kernel // 2 on every side; "valid" is no padding.
        epsilon: the number that batch normalization adds to the variance (TF-slim 1e-3, torchvision 1e-5).
        activation: a function that makes the activation after batch normalization.
    """

    padding: LayerPadding = "same"
    epsilon: float = 1e-3
    activation: Callable[[], nn.Module] = nn.ReLU6


def conv_block(
    channels: tuple[int, int],
    style: BlockStyle,
    kernel: Kernel = 1,
    stride: int = 1,
    groups: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    """Return a convolution without bias, batch normalization and activation: `conv`, `norm` and `activation`.

    Args:
        channels: the numbers of input and output channels.
        style: the network's padding, epsilon and activation.
        kernel: the kernel's side, or its height and width.
        stride: the stride in both directions.
        groups: the number of convolution groups; the number of input channels makes it depthwise.
        activate: whether to add the activation; False for the linear bottlenecks of MobileNetV2.
    """
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = convolution(channels, style.padding, kernel, stride, groups)
    parts["norm"] = nn.BatchNorm2d(channels[1], eps=style.epsilon)
    if activate:
        parts["activation"] = style.activation()
    return nn.Sequential(parts)


def biased_block(
    channels: tuple[int, int],
    padding: LayerPadding,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """Return a convolution with bias and a ReLU, named `conv` and `activation`, as before batch normalization."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv"] = convolution(channels, padding, kernel, stride, groups, bias=True)
    parts["activation"] = nn.ReLU()
    return nn.Sequential(parts)


def convolution(
    channels: tuple[int, int],
    padding: LayerPadding,
    kernel: Kernel = 1,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> nn.Conv2d:
    """Return a convolution with one of the paddings that `BlockStyle` explains."""
    if padding == "same":
        return SameConv2d(*channels, kernel, stride, groups=groups, bias=bias)
    height, width = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    around = (0, 0) if padding == "valid" else (height // 2, width // 2)
    return nn.Conv2d(*channels, kernel, stride, padding=around, groups=groups, bias=bias)


class SameConv2d(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, computed from the size of each input.

    If both sides need equal padding, the convolution itself pads. Only unequal padding (stride 2 over an even size)
    takes a separate pad operator, which keeps exported graphs small. A traced graph fits only one input size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,out_channels,ceil(H/stride),ceil(W/stride)]."""
        height, width = height_width(x)
        top, bottom = same_padding(height, self.kernel_size[0], self.stride[0], self.dilation[0])
        left, right = same_padding(width, self.kernel_size[1], self.stride[1], self.dilation[1])
        own = (top, left)
        if (top, left) != (bottom, right):
            x, own = _pad(x, (left, right, top, bottom)), (0, 0)
        return F.conv2d(x, self.weight, self.bias, self.stride, own, self.dilation, self.groups)


def _pad(x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
    """Pad [N,C,H,W] with zeros; `padding` is (left, right, top, bottom)."""
    exporting = torch.jit.is_tracing() and torch.onnx.is_in_onnx_export()
    return _ExportedPad.apply(x, padding) if exporting else F.pad(x, padding)


class _ExportedPad(torch.autograd.Function):
    """F.pad, exported as one ONNX operator. The tracing exporter would write a dozen, to compute the constants."""

    @staticmethod
    def forward(_: object, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        return F.pad(x, padding)

    @staticmethod
    def symbolic(graph: Any, x: Any, padding: tuple[int, int, int, int]) -> Any:
        left, right, top, bottom = padding
        pads = torch.tensor([0, 0, top, left, 0, 0, bottom, right])
        return graph.op("Pad", x, graph.op("Constant", value_t=pads), mode_s="constant")


def max_pool(padding: LayerPadding, kernel: int = 3, stride: int = 2) -> nn.Module:
    """Return a max pooling with one of the paddings that `BlockStyle` explains."""
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, 0 if padding == "valid" else kernel // 2)


class SameMaxPool2d(nn.Module):
    """Max pooling of square windows with TensorFlow's SAME padding, computed from the size of each input.

    Padding counts as minus infinity. If the padding is unequal, torch's `ceil_mode` adds the extra padding at the
    bottom and right, because a separate pad would be one more operator in the exported graph.

    Args:
        kernel: the window's side.
        stride: the stride; at least 2 if the kernel is even.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C,ceil(H/stride),ceil(W/stride)]."""
        (top, bottom), (left, right) = (
            same_padding(size, self.kernel, self.stride) for size in height_width(x)
        )
        up = (top, left) != (bottom, right)
        return F.max_pool2d(x, self.kernel, self.stride, (top, left), ceil_mode=up)

    def extra_repr(self) -> str:
        """Return the arguments that print(network) shows."""
        return f"kernel={self.kernel}, stride={self.stride}"


def average_pool() -> nn.Module:
    """Return a 3x3 average pooling at stride 1 that, like TensorFlow, leaves the padding out of the averages."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


class Branches(nn.Module):
    """Parallel layers that all read the same input; their outputs are concatenated along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',h,w], where C' is the sum of the branches' channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def height_width(x: Tensor) -> tuple[int, int]:
    """Return height and width of [N,C,H,W] as ints, without the warning that torch gives for int() while tracing."""
    with warnings.catch_warnings():
        if torch.jit.is_tracing():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return int(x.shape[-2]), int(x.shape[-1])


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the numbers of zeros before and after a dimension of `size` elements, by TensorFlow's SAME rule.

    The output has ceil(size / stride) elements. If the number of zeros is odd, the extra one comes after.
    Source: TensorFlow's documentation of `tf.nn.convolution`, padding "SAME".
    """
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def initialize(network: nn.Module) -> None:
    """Initialize convolutions by He's method (arXiv 1502.01852, fan-out), linear layers with small normal weights."""
    if next(network.parameters()).is_meta:
        return  # Meta tensors have no storage to fill.
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)
