"""MobileNetV1 (arXiv 1704.04861, table 1), with TF-slim's rounding of channel numbers.

At the end are the two modified networks that its paper compares it with (section 4.1).
"""

from __future__ import annotations

from torch import nn

from edgenet.zoo.classifier import BlockStyle, Classifier, NetworkOptions, conv_block

Blocks = tuple[tuple[int, int], ...]
STEM = 32
# Output channels and stride of the 13 depthwise separable blocks, at width 1.
BLOCKS: Blocks = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
# TF-slim's V1 keeps a share of 0.999 of the features.
DROPOUT = 0.001


class MobileNetV1(Classifier):
    """MobileNetV1: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    Args:
        width: the paper's width multiplier (alpha).
        options: the number of classes, dropout, padding and so on.
        blocks: output channels and stride of each block at width 1.
    """

    def __init__(
        self, width: float = 1.0, options: NetworkOptions = NetworkOptions(), blocks: Blocks = BLOCKS
    ) -> None:
        style = BlockStyle(options.padding, options.epsilon)
        plan = channel_plan(width, blocks)
        features = nn.Sequential(conv_block((3, plan[0]), style, kernel=3, stride=2))
        for index, (_, stride) in enumerate(blocks):
            features.append(self.block((plan[index], plan[index + 1]), stride, style))
        super().__init__(features, plan[-1], DROPOUT, options)

    @staticmethod
    def block(channels: tuple[int, int], stride: int, style: BlockStyle) -> nn.Sequential:
        """Return one block; `FullMobileNet` overrides this method."""
        return depthwise_separable(channels, stride, style)


def channel_plan(width: float, blocks: Blocks = BLOCKS) -> tuple[int, ...]:
    """Return the output channels of the first convolution and of every block."""
    return tuple(scaled(channels, width) for channels in (STEM, *(block[0] for block in blocks)))


def scaled(channels: int, width: float) -> int:
    """Return the number of channels at a width multiplier; like TF-slim's V1, it rounds down, but not below 8."""
    return max(int(channels * width), 8)


def depthwise_separable(channels: tuple[int, int], stride: int, style: BlockStyle) -> nn.Sequential:
    """Return a 3x3 depthwise and a 1x1 pointwise convolution, each with normalization and activation (section 3.1)."""
    block = nn.Sequential()
    block.depthwise = conv_block((channels[0], channels[0]), style, 3, stride, groups=channels[0])
    block.pointwise = conv_block(channels, style)
    return block


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

    def __init__(self, width: float = 1.0, options: NetworkOptions = NetworkOptions()) -> None:
        # "5 layers of separable filters with feature size 14 x 14 x 512 are removed" (section 4.1).
        super().__init__(width, options, tuple(block for block in BLOCKS if block != (512, 1)))
