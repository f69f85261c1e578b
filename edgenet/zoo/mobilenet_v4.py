"""MobileNetV4-Conv Small and Medium (arXiv 2404.10518, section 3 and the tables of its appendix).

They are made of universal inverted bottlenecks: an inverted bottleneck whose depthwise convolutions, before the
expansion and inside it, are both optional. With the inner one alone it is MobileNetV2's; with the first alone a
ConvNeXt block; with both the paper's "ExtraDW"; with none a feed-forward network.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import BlockStyle, conv_block
from edgenet.zoo.mobilenet_v2 import make_divisible

STEM, LAST, HEAD = 32, 960, 1280
DROPOUT = 0.2


@dataclass(frozen=True)
class Conv:
    """A full convolution, normalized and activated."""

    kernel: int
    outputs: int
    stride: int = 1


@dataclass(frozen=True)
class Fused:
    """A fused inverted bottleneck: a 3x3 convolution that expands, and a 1x1 convolution without activation."""

    expansion: float
    outputs: int
    stride: int = 1


@dataclass(frozen=True)
class Universal:
    """A universal inverted bottleneck.

    Attributes:
        first: kernel of the depthwise convolution before the expansion; 0 for none.
        inner: kernel of the one after it; 0 for none.
        expansion: channels inside over channels of the input.
    """

    first: int
    inner: int
    expansion: float
    outputs: int
    stride: int = 1


Row = Conv | Fused | Universal

SMALL: tuple[Row, ...] = (
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
MEDIUM: tuple[Row, ...] = (
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


class UniversalInvertedBottleneck(nn.Module):
    """Depthwise, expand 1x1, depthwise, project 1x1 without activation; plus its input where shapes allow.

    Source: section 3.1 and figure 4. The stride is the inner depthwise convolution's, or without one the first's; the
    first has no activation.
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
        """[N,C,H,W] to [N,C',ceil(H/stride),ceil(W/stride)]."""
        return x + self.layers(x) if self.residual else self.layers(x)


def block(inputs: int, outputs: int, row: Row, style: BlockStyle) -> nn.Module:
    """The block that a row of the tables stands for, between so many channels."""
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


class MobileNetV4Conv(Classifier):
    """Normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes]; at 32 pixels a map of 1x1 remains.

    Args:
        rows: SMALL or MEDIUM.
        width: width multiplier. The paper has 1 alone; others scale channels as in MobileNetV2, and the layer behind
            the pooling is not made narrower.
    """

    def __init__(
        self, rows: tuple[Row, ...] = SMALL, width: float = 1.0, options: NetworkOptions | None = None
    ) -> None:
        options = options or NetworkOptions()
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        channels = make_divisible(STEM * width)
        features = nn.Sequential(conv_block((3, channels), style, kernel=3, stride=2))
        for row in rows:
            outputs = make_divisible(row.outputs * width)
            features.append(block(channels, outputs, row, style))
            channels = outputs
        last, wide = make_divisible(LAST * width), make_divisible(HEAD * max(width, 1.0))
        features.append(conv_block((channels, last), style))
        head = conv_block((last, wide), style)
        dropout = DROPOUT if options.dropout is None else options.dropout
        super().__init__(features, wide, dropout, options, head)
