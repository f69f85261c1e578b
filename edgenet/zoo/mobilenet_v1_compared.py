"""Two modified MobileNetV1 networks that its paper compares it with (arXiv 1704.04861, section 4.1)."""

from __future__ import annotations

from torch import nn

from edgenet.zoo.classifier import NetworkOptions
from edgenet.zoo.layers import BlockStyle, conv_block
from edgenet.zoo.mobilenet_v1 import BLOCKS, MobileNetV1

# "5 layers of separable filters with feature size 14 x 14 x 512 are removed" (section 4.1).
SHALLOW_BLOCKS = tuple(block for block in BLOCKS if block != (512, 1))


class FullMobileNet(MobileNetV1):
    """MobileNetV1 with full 3x3 convolutions instead of depthwise separable ones (table 4).

    It maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].
    """

    @staticmethod
    def block(channels: tuple[int, int], stride: int, style: BlockStyle) -> nn.Sequential:
        """Return a full 3x3 convolution with normalization and activation."""
        return conv_block(channels, style, kernel=3, stride=stride)


class ShallowMobileNet(MobileNetV1):
    """MobileNetV1 without the five blocks of 512 channels that keep the resolution (table 5).

    It maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].
    """

    def __init__(self, width: float = 1.0, options: NetworkOptions | None = None) -> None:
        super().__init__(width, options, SHALLOW_BLOCKS)
