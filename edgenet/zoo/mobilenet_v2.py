"""MobileNetV2 (arXiv 1801.04381, table 2), and the rounding of channel numbers that V3 and V4 share with it."""

from __future__ import annotations

from torch import Tensor, nn

from edgenet.zoo.classifier import BlockStyle, Classifier, NetworkOptions, conv_block

STEM, LAST = 32, 1280
# Columns of table 2: expansion factor t, output channels c, repetitions n, stride s of the first repetition.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
DROPOUT = 0.2


class MobileNetV2(Classifier):
    """MobileNetV2: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    Args:
        width: the paper's width multiplier.
        options: torchvision's weights need padding "symmetric" and epsilon 1e-5, with which they were trained.
    """

    def __init__(self, width: float = 1.0, options: NetworkOptions = NetworkOptions()) -> None:
        style = BlockStyle(options.padding, options.epsilon)
        plan = channel_plan(width)
        features = nn.Sequential(conv_block((3, plan[0]), style, kernel=3, stride=2))
        for index, (expansion, stride) in enumerate(bottleneck_shapes()):
            features.append(InvertedResidual((plan[index], plan[index + 1]), expansion, stride, style))
        features.append(conv_block((plan[-2], plan[-1]), style))
        super().__init__(features, plan[-1], DROPOUT, options)


def channel_plan(width: float) -> tuple[int, ...]:
    """Return the output channels of the first convolution, the 17 bottlenecks and the last convolution.

    The last convolution never has fewer than 1280 channels (section 6.1).
    """
    bottlenecks = [make_divisible(c * width) for _, c, n, _ in STAGES for _ in range(n)]
    return (make_divisible(STEM * width), *bottlenecks, make_divisible(LAST * max(width, 1.0)))


def bottleneck_shapes() -> tuple[tuple[int, int], ...]:
    """Return expansion factor and stride of each of the 17 bottlenecks."""
    return tuple((t, s if repetition == 0 else 1) for t, _, n, s in STAGES for repetition in range(n))


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to the nearest multiple of `divisor`, but never below 90 % of `channels` (the authors' rule)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class InvertedResidual(nn.Module):
    """A bottleneck: 1x1 expansion, depthwise convolution (3x3 in MobileNetV2), and 1x1 projection without activation.

    Its input is added to the result if both have the same shape. The first bottleneck (expansion 1) has no expanding
    convolution. Source: section 3.3 and table 1.
    """

    def __init__(
        self, channels: tuple[int, int], expansion: int, stride: int, style: BlockStyle, kernel: int = 3
    ) -> None:
        super().__init__()
        hidden = channels[0] * expansion
        self.residual = stride == 1 and channels[0] == channels[1]
        self.layers = nn.Sequential()
        if expansion != 1:
            self.layers.expand = conv_block((channels[0], hidden), style)
        self.layers.depthwise = conv_block((hidden, hidden), style, kernel, stride, groups=hidden)
        self.layers.project = conv_block((hidden, channels[1]), style, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',ceil(H/stride),ceil(W/stride)]."""
        return x + self.layers(x) if self.residual else self.layers(x)
