"""MobileNetV4-Conv Small, Medium and Large (arXiv 2404.10518, section 3 and the tables of its appendix).

They consist mostly of universal inverted bottlenecks. Such a block can have a depthwise convolution before the
expansion (`first`) and one after it (`inner`). With only the inner one it is MobileNetV2's bottleneck, with only the
first one a ConvNeXt block, with both the paper's "ExtraDW", and with none a feed-forward network.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgenet.zoo.classifier import BlockStyle, Classifier, NetworkOptions, conv_block
from edgenet.zoo.mobilenet_v2 import make_divisible

LAST, HEAD = 960, 1280
DROPOUT = 0.2


@dataclass(frozen=True)
class Conv:
    """A full convolution with normalization and activation.

    Attributes:
        kernel: the kernel's side.
        outputs: the output channels, at width 1.
        stride: the stride.
    """

    kernel: int
    outputs: int
    stride: int = 1


@dataclass(frozen=True)
class Fused:
    """A fused inverted bottleneck: an expanding 3x3 convolution, then a 1x1 convolution without activation.

    Attributes:
        expansion: the expanded channels divided by the input channels.
        outputs: the output channels, at width 1.
        stride: the stride of the 3x3 convolution.
    """

    expansion: float
    outputs: int
    stride: int = 1


@dataclass(frozen=True)
class Universal:
    """A universal inverted bottleneck.

    Attributes:
        first: kernel side of the depthwise convolution before the expansion; 0 for none.
        inner: kernel side of the depthwise convolution after the expansion; 0 for none.
        expansion: the expanded channels divided by the input channels.
        outputs: the output channels, at width 1.
        stride: the stride of the block.
    """

    first: int
    inner: int
    expansion: float
    outputs: int
    stride: int = 1


Row = Conv | Fused | Universal


@dataclass(frozen=True)
class Design:
    """The layout of one of the networks.

    Attributes:
        stem: the output channels of the first convolution, at width 1.
        rows: the blocks in order.
    """

    stem: int
    rows: tuple[Row, ...]


_SMALL_ROWS: tuple[Row, ...] = (
    Conv(3, 32, stride=2),
    Conv(1, 32),
    Conv(3, 96, stride=2),
    Conv(1, 64),
    Universal(5, 5, 3, 96, stride=2),
    *(Universal(0, 3, 2, 96),) * 4,
    Universal(3, 0, 4, 96),
    Universal(3, 3, 6, 128, stride=2),
    Universal(5, 5, 4, 128),
    Universal(0, 5, 4, 128),
    Universal(0, 5, 3, 128),
    *(Universal(0, 3, 4, 128),) * 2,
)
_MEDIUM_ROWS: tuple[Row, ...] = (
    Fused(4, 48, stride=2),
    Universal(3, 5, 4, 80, stride=2),
    Universal(3, 3, 2, 80),
    Universal(3, 5, 6, 160, stride=2),
    *(Universal(3, 3, 4, 160),) * 2,
    Universal(3, 5, 4, 160),
    Universal(3, 3, 4, 160),
    Universal(3, 0, 4, 160),
    Universal(0, 0, 2, 160),
    Universal(3, 0, 4, 160),
    Universal(5, 5, 6, 256, stride=2),
    Universal(5, 5, 4, 256),
    *(Universal(3, 5, 4, 256),) * 2,
    Universal(0, 0, 4, 256),
    Universal(3, 0, 4, 256),
    Universal(3, 5, 2, 256),
    Universal(5, 5, 4, 256),
    *(Universal(0, 0, 4, 256),) * 2,
    Universal(5, 0, 2, 256),
)
_LARGE_ROWS: tuple[Row, ...] = (
    Fused(4, 48, stride=2),
    Universal(3, 5, 4, 96, stride=2),
    Universal(3, 3, 4, 96),
    Universal(3, 5, 4, 192, stride=2),
    *(Universal(3, 3, 4, 192),) * 3,
    Universal(3, 5, 4, 192),
    *(Universal(5, 3, 4, 192),) * 5,
    Universal(3, 0, 4, 192),
    Universal(5, 5, 4, 512, stride=2),
    *(Universal(5, 5, 4, 512),) * 3,
    Universal(5, 0, 4, 512),
    Universal(5, 3, 4, 512),
    *(Universal(5, 0, 4, 512),) * 2,
    Universal(5, 3, 4, 512),
    Universal(5, 5, 4, 512),
    *(Universal(5, 0, 4, 512),) * 3,
)
SMALL, MEDIUM, LARGE = Design(32, _SMALL_ROWS), Design(32, _MEDIUM_ROWS), Design(24, _LARGE_ROWS)


class MobileNetV4Conv(Classifier):
    """MobileNetV4-Conv: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    At 32 pixels the last map is 1x1.

    Args:
        design: the layout: `SMALL`, `MEDIUM` or `LARGE`.
        width: the width multiplier. The paper has only 1. Other widths scale the channels as in MobileNetV2, but the
            layer after the pooling never gets narrower.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(
        self, design: Design = SMALL, width: float = 1.0, options: NetworkOptions = NetworkOptions()
    ) -> None:
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        channels = make_divisible(design.stem * options.stem_width(width))
        features = nn.Sequential(conv_block((3, channels), style, kernel=3, stride=2))
        for row in design.rows:
            outputs = make_divisible(row.outputs * width)
            features.append(block(channels, outputs, row, style))
            channels = outputs
        last, wide = make_divisible(LAST * width), make_divisible(HEAD * max(width, 1.0))
        features.append(conv_block((channels, last), style))
        head = conv_block((last, wide), style)
        super().__init__(features, wide, DROPOUT, options, head)


def block(inputs: int, outputs: int, row: Row, style: BlockStyle) -> nn.Module:
    """Return the block that a row of the tables describes, for the given numbers of input and output channels."""
    match row:
        case Conv():
            return conv_block((inputs, outputs), style, row.kernel, row.stride)
        case Fused():
            hidden = make_divisible(inputs * row.expansion)
            fused = nn.Sequential()
            fused.expand = conv_block((inputs, hidden), style, 3, row.stride)
            fused.project = conv_block((hidden, outputs), style, activate=False)
            return fused
        case Universal():
            return UniversalInvertedBottleneck((inputs, outputs), row, style)


class UniversalInvertedBottleneck(nn.Module):
    """Depthwise convolution, 1x1 expansion, depthwise convolution, and 1x1 projection without activation.

    Its input is added to the result if the stride is 1 and the channels are equal. The inner depthwise convolution
    has the stride, or the first one if there is no inner one. The first one has no activation. Source: section 3.1
    and figure 4.
    """

    def __init__(self, channels: tuple[int, int], row: Universal, style: BlockStyle) -> None:
        super().__init__()
        inputs, outputs = channels
        hidden = make_divisible(inputs * row.expansion)
        self.residual = row.stride == 1 and inputs == outputs
        self.layers = nn.Sequential()
        if row.first:
            stride = 1 if row.inner else row.stride
            self.layers.first = conv_block(
                (inputs, inputs), style, row.first, stride, groups=inputs, activate=False
            )
        self.layers.expand = conv_block((inputs, hidden), style)
        if row.inner:
            self.layers.depthwise = conv_block((hidden, hidden), style, row.inner, row.stride, groups=hidden)
        self.layers.project = conv_block((hidden, outputs), style, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',ceil(H/stride),ceil(W/stride)]."""
        return x + self.layers(x) if self.residual else self.layers(x)
