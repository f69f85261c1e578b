"""Building blocks of the classic networks: pooling with TensorFlow's padding, and parallel branches."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn

from edgenet.zoo.layers import LayerPadding, height_width, same_padding


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


def max_pool(padding: LayerPadding, kernel: int = 3, stride: int = 2) -> nn.Module:
    """Return a max pooling with one of the paddings that `BlockStyle` explains."""
    if padding == "same":
        return SameMaxPool2d(kernel, stride)
    return nn.MaxPool2d(kernel, stride, 0 if padding == "valid" else kernel // 2)


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
