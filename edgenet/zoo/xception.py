"""Xception (arXiv 1610.02357, figure 5)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from torch import Tensor, nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import BlockStyle, conv_block, convolution
from edgenet.zoo.pooling import max_pool

RESOLUTION = 299
ENTRY = (128, 256, 728)
MIDDLE_REPETITIONS = 8
EXIT = (1536, 2048)
DROPOUT = 0.5


def separable(channels: tuple[int, int], style: BlockStyle, activate: bool = False) -> nn.Sequential:
    """Return a 3x3 depthwise and a 1x1 pointwise convolution, then batch normalization.

    There is neither normalization nor activation between the two convolutions (section 4.7).
    """
    layers = nn.Sequential()
    layers.depthwise = convolution((channels[0], channels[0]), style.padding, 3, groups=channels[0])
    layers.pointwise = conv_block(channels, style, activate=activate)
    return layers


class Block(nn.Module):
    """A residual block: several times ReLU and separable convolution, then optionally max pooling at stride 2.

    Args:
        channels: the channels of the input and after each separable convolution.
        style: the network's padding, epsilon and activation.
        halve: whether to pool; the shortcut is then a 1x1 convolution at stride 2.
        first_relu: whether to start with a ReLU; False if the input has just passed one.
    """

    def __init__(
        self, channels: tuple[int, ...], style: BlockStyle, halve: bool, first_relu: bool = True
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for index, pair in enumerate(pairwise(channels)):
            if index or first_relu:
                self.layers.append(nn.ReLU())
            self.layers.append(separable(pair, style))
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.layers.append(max_pool(style.padding))
            self.shortcut = conv_block((channels[0], channels[-1]), style, stride=2, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',H,W], or to [N,C',ceil(H/2),ceil(W/2)] if the block pools."""
        return self.layers(x) + self.shortcut(x)


class Xception(Classifier):
    """Xception: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes]."""

    def __init__(self, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        tight = replace(style, padding="valid")
        features = nn.Sequential(
            conv_block((3, 32), tight, 3, stride=2),
            conv_block((32, 64), tight, 3),
            Block((64, ENTRY[0], ENTRY[0]), style, halve=True, first_relu=False),
            Block((ENTRY[0], ENTRY[1], ENTRY[1]), style, halve=True),
            Block((ENTRY[1], ENTRY[2], ENTRY[2]), style, halve=True),
            *(Block((ENTRY[2],) * 4, style, halve=False) for _ in range(MIDDLE_REPETITIONS)),
            Block((ENTRY[2], ENTRY[2], 1024), style, halve=True),
            separable((1024, EXIT[0]), style, activate=True),
            separable(EXIT, style, activate=True),
        )
        dropout = DROPOUT if options.dropout is None else options.dropout
        super().__init__(features, EXIT[1], dropout, options)
