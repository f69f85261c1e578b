"""Max pooling that pads as TensorFlow does, and branches side by side: what the classic networks are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from edgenet.zoo.layers import LayerPadding, height_width, same_padding


class SameMaxPool2d(nn.Module):
    """Max pooling of square windows with TensorFlow's SAME padding, computed from the size of each input.

    Padding counts as minus infinity. Where it is unequal, torch's `ceil_mode` adds what SAME has more at the bottom
    and right; a pad of its own would be one more operator in the exported graph.

    Args:
        kernel: the window's side.
        stride: at least 2 where the kernel is even.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] to [N,C,ceil(H/stride),ceil(W/stride)]."""
        (top, bottom), (left, right) = (
            same_padding(size, self.kernel, self.stride) for size in height_width(x)
        )
        up = (top, left) != (bottom, right)
        return F.max_pool2d(x, self.kernel, self.stride, (top, left), ceil_mode=up)

    def extra_repr(self) -> str:
        """What print(network) says of it."""
        return f"kernel={self.kernel}, stride={self.stride}"


def max_pool(padding: LayerPadding, kernel: int = 3, stride: int = 2) -> nn.Module:
    """Max pooling with one of the paddings."""
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, 0 if padding == "valid" else kernel // 2)


def average_pool() -> nn.Module:
    """3x3 average pooling that keeps the resolution and leaves the padding out of its count, as TensorFlow does."""
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


class Branches(nn.Module):
    """Layers side by side that all read the same input; their channels are put one after the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] to [N,C',h,w], C' the sum of the branches' channels."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)
