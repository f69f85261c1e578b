"""MobileNetV3 Large and Small (arXiv 1905.02244, tables 1 and 2) and their minimalistic forms.

The paper's tables give the expansion in channels. Here it is a factor of the input channels, so that it follows the
width multiplier, as in the authors' code (tensorflow/models, research/slim/nets/mobilenet/mobilenet_v3.py). That code
also defines the minimalistic forms: the same channels without squeeze-and-excite, hard-swish and 5x5 kernels. How the
others' hard-swish is written in int8, `edgenet.graph.xnnpack_forms` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor, nn

from edgenet.zoo.classifier import (
    BlockStyle,
    Classifier,
    LayerPadding,
    NetworkOptions,
    conv_block,
    convolution,
)
from edgenet.zoo.mobilenet_v2 import make_divisible

STEM = 16
DROPOUT = 0.2


@dataclass(frozen=True)
class Bottleneck:
    """One row of table 1 or 2.

    Attributes:
        kernel: the kernel side of the depthwise convolution.
        expansion: the expanded channels divided by the input channels, at width 1.
        outputs: the output channels, at width 1.
        stride: the stride of the depthwise convolution.
        squeeze: whether squeeze-and-excite follows the depthwise convolution.
        swish: whether the activation is hard-swish instead of ReLU.
    """

    kernel: int
    expansion: float
    outputs: int
    stride: int = 1
    squeeze: bool = False
    swish: bool = False


@dataclass(frozen=True)
class Design:
    """The layout of one of the networks.

    Attributes:
        bottlenecks: the bottlenecks in order.
        last: the channels of the last 1x1 convolution before the pooling, at width 1.
        head: the channels of the 1x1 convolution after the pooling; width multipliers below 1 do not reduce them.
        swish: whether the first and last layers use hard-swish instead of ReLU.
    """

    bottlenecks: tuple[Bottleneck, ...]
    last: int
    head: int
    swish: bool = True

    def minimalistic(self) -> Design:
        """Return the same design without squeeze-and-excite, hard-swish and 5x5 kernels."""
        plain = tuple(replace(row, kernel=3, squeeze=False, swish=False) for row in self.bottlenecks)
        return replace(self, bottlenecks=plain, swish=False)


LARGE = Design(
    (
        Bottleneck(3, 1, 16),
        Bottleneck(3, 64 / 16, 24, stride=2),
        Bottleneck(3, 72 / 24, 24),
        Bottleneck(5, 72 / 24, 40, stride=2, squeeze=True),
        Bottleneck(5, 120 / 40, 40, squeeze=True),
        Bottleneck(5, 120 / 40, 40, squeeze=True),
        Bottleneck(3, 240 / 40, 80, stride=2, swish=True),
        Bottleneck(3, 200 / 80, 80, swish=True),
        Bottleneck(3, 184 / 80, 80, swish=True),
        Bottleneck(3, 184 / 80, 80, swish=True),
        Bottleneck(3, 480 / 80, 112, squeeze=True, swish=True),
        Bottleneck(3, 672 / 112, 112, squeeze=True, swish=True),
        Bottleneck(5, 672 / 112, 160, stride=2, squeeze=True, swish=True),
        Bottleneck(5, 960 / 160, 160, squeeze=True, swish=True),
        Bottleneck(5, 960 / 160, 160, squeeze=True, swish=True),
    ),
    last=960,
    head=1280,
)
SMALL = Design(
    (
        Bottleneck(3, 1, 16, stride=2, squeeze=True),
        Bottleneck(3, 72 / 16, 24, stride=2),
        Bottleneck(3, 88 / 24, 24),
        Bottleneck(5, 96 / 24, 40, stride=2, squeeze=True, swish=True),
        Bottleneck(5, 240 / 40, 40, squeeze=True, swish=True),
        Bottleneck(5, 240 / 40, 40, squeeze=True, swish=True),
        Bottleneck(5, 120 / 40, 48, squeeze=True, swish=True),
        Bottleneck(5, 144 / 48, 48, squeeze=True, swish=True),
        Bottleneck(5, 288 / 48, 96, stride=2, squeeze=True, swish=True),
        Bottleneck(5, 576 / 96, 96, squeeze=True, swish=True),
        Bottleneck(5, 576 / 96, 96, squeeze=True, swish=True),
    ),
    last=576,
    head=1024,
)
LARGE_MINIMALISTIC, SMALL_MINIMALISTIC = LARGE.minimalistic(), SMALL.minimalistic()


class MobileNetV3(Classifier):
    """MobileNetV3: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    At 32 pixels the last map is 1x1.

    Args:
        design: the layout: `LARGE`, `SMALL` or a minimalistic form.
        width: the paper's width multiplier.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(
        self, design: Design = LARGE, width: float = 1.0, options: NetworkOptions = NetworkOptions()
    ) -> None:
        style = BlockStyle(options.padding, options.epsilon, activation_class(design.swish))
        channels = make_divisible(STEM * options.stem_width(width))
        features = nn.Sequential(conv_block((3, channels), style, kernel=3, stride=2))
        for row in design.bottlenecks:
            outputs = make_divisible(row.outputs * width)
            features.append(InvertedResidual((channels, outputs), row, style))
            channels = outputs
        last, wide = make_divisible(design.last * width), make_divisible(design.head * max(width, 1.0))
        features.append(conv_block((channels, last), style))
        # "NBN" in the tables means that the layers after the pooling have no batch normalization.
        head = nn.Sequential(convolution((last, wide), style.padding, bias=True), style.activation())
        super().__init__(features, wide, DROPOUT, options, head)


class InvertedResidual(nn.Module):
    """A bottleneck: 1x1 expansion, depthwise convolution, squeeze-and-excite, and 1x1 projection without activation.

    Its input is added to the result if both have the same shape. With an expansion of 1 there is no expanding
    convolution. Source: section 5.3 and figure 4.
    """

    def __init__(self, channels: tuple[int, int], row: Bottleneck, style: BlockStyle) -> None:
        super().__init__()
        style = replace(style, activation=activation_class(row.swish))
        hidden = make_divisible(channels[0] * row.expansion)
        self.residual = row.stride == 1 and channels[0] == channels[1]
        self.layers = nn.Sequential()
        if hidden != channels[0]:
            self.layers.expand = conv_block((channels[0], hidden), style)
        self.layers.depthwise = conv_block((hidden, hidden), style, row.kernel, row.stride, groups=hidden)
        if row.squeeze:
            self.layers.squeeze = SqueezeExcite(hidden, style.padding)
        self.layers.project = conv_block((hidden, channels[1]), style, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',ceil(H/stride),ceil(W/stride)]."""
        return x + self.layers(x) if self.residual else self.layers(x)


# "squeeze-and-excite [...] fixed to be 1/4 of the number of channels in expansion layer" (section 5.3).
SQUEEZE = 4


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a gate between 0 and 1, computed from the means of all channels (section 5.3).

    Args:
        channels: the number of input channels.
        padding: the padding type of the 1x1 convolutions, for which all types are equal.
    """

    def __init__(self, channels: int, padding: LayerPadding) -> None:
        super().__init__()
        squeezed = make_divisible(channels / SQUEEZE)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = convolution((channels, squeezed), padding, bias=True)
        self.activation = nn.ReLU()
        self.expand = convolution((squeezed, channels), padding, bias=True)
        self.gate = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to the same shape."""
        squeezed = self.activation(self.reduce(self.pool(x)))
        return x * self.gate(self.expand(squeezed))


def activation_class(swish: bool) -> Callable[[], nn.Module]:
    """Return the class of the activation: hard-swish (section 5.2) or ReLU."""
    return nn.Hardswish if swish else nn.ReLU
