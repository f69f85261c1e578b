"""Inception V3 (arXiv 1512.00567, table 1 and figures 5 to 7 and 10), without the auxiliary classifier.

The paper does not give all channel numbers and paddings, so they follow the authors' code (tensorflow/models,
research/slim/nets/inception_v3.py). The stem, except its third convolution, and the layers that halve the resolution
have no padding; all other layers use SAME padding. The left-out auxiliary classifier serves only training.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import BlockStyle, Kernel, conv_block
from edgenet.zoo.pooling import Branches, average_pool, max_pool

RESOLUTION, SMALLEST = 299, 75
DROPOUT = 0.2
WIDE, TALL = (1, 7), (7, 1)

Step = tuple[int, Kernel]


def chain(inputs: int, style: BlockStyle, *steps: Step) -> nn.Sequential:
    """Return a chain of convolutions.

    Args:
        inputs: the number of input channels.
        style: the style of the blocks.
        steps: output channels and kernel of each convolution.
    """
    layers = nn.Sequential()
    for outputs, kernel in steps:
        layers.append(conv_block((inputs, outputs), style, kernel))
        inputs = outputs
    return layers


def pooled(inputs: int, outputs: int, style: BlockStyle) -> nn.Sequential:
    """Return the pooling branch: 3x3 average pooling, then a 1x1 convolution."""
    return nn.Sequential(average_pool(), conv_block((inputs, outputs), style))


def halved(inputs: int, outputs: int, style: BlockStyle) -> nn.Sequential:
    """Return a 3x3 convolution at stride 2 without padding, which halves the resolution."""
    return conv_block((inputs, outputs), replace(style, padding="valid"), 3, stride=2)


def module_35(inputs: int, pool: int, style: BlockStyle) -> Branches:
    """Return the module of figure 5, for 35x35 maps; the second branch has a 5x5 kernel, as in the authors' code."""
    return Branches(
        chain(inputs, style, (64, 1)),
        chain(inputs, style, (48, 1), (64, 5)),
        chain(inputs, style, (64, 1), (96, 3), (96, 3)),
        pooled(inputs, pool, style),
    )


def reduction_17(inputs: int, style: BlockStyle) -> Branches:
    """Return the module that reduces maps from 35x35 to 17x17 (figure 10)."""
    return Branches(
        halved(inputs, 384, style),
        nn.Sequential(chain(inputs, style, (64, 1), (96, 3)), halved(96, 96, style)),
        max_pool("valid"),
    )


def module_17(inputs: int, inner: int, style: BlockStyle) -> Branches:
    """Return the module of figure 6, for 17x17 maps; 7x7 convolutions are factorized into 1x7 and 7x1."""
    return Branches(
        chain(inputs, style, (192, 1)),
        chain(inputs, style, (inner, 1), (inner, WIDE), (192, TALL)),
        chain(inputs, style, (inner, 1), (inner, TALL), (inner, WIDE), (inner, TALL), (192, WIDE)),
        pooled(inputs, 192, style),
    )


def reduction_8(inputs: int, style: BlockStyle) -> Branches:
    """Return the module that reduces maps from 17x17 to 8x8."""
    return Branches(
        nn.Sequential(chain(inputs, style, (192, 1)), halved(192, 320, style)),
        nn.Sequential(chain(inputs, style, (192, 1), (192, WIDE), (192, TALL)), halved(192, 192, style)),
        max_pool("valid"),
    )


def module_8(inputs: int, style: BlockStyle) -> Branches:
    """Return the module of figure 7, for 8x8 maps, with expanded filter banks."""
    return Branches(
        chain(inputs, style, (320, 1)),
        nn.Sequential(chain(inputs, style, (384, 1)), _both_ways(384, style)),
        nn.Sequential(chain(inputs, style, (448, 1), (384, 3)), _both_ways(384, style)),
        pooled(inputs, 192, style),
    )


def _both_ways(channels: int, style: BlockStyle) -> Branches:
    return Branches(
        chain(channels, style, (channels, (1, 3))),
        chain(channels, style, (channels, (3, 1))),
    )


def stem(style: BlockStyle) -> nn.Sequential:
    """Return the first layers, which reduce the 299x299 picture to 35x35 maps (table 1)."""
    tight = replace(style, padding="valid")
    return nn.Sequential(
        conv_block((3, 32), tight, 3, stride=2),
        conv_block((32, 32), tight, 3),
        conv_block((32, 64), style, 3),
        max_pool("valid"),
        conv_block((64, 80), tight),
        conv_block((80, 192), tight, 3),
        max_pool("valid"),
    )


class InceptionV3(Classifier):
    """Inception V3: maps normalized RGB [N,3,H,W], H and W at least 75, to logits [N,classes]."""

    def __init__(self, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        features = nn.Sequential(
            *stem(style),
            module_35(192, 32, style),
            module_35(256, 64, style),
            module_35(288, 64, style),
            reduction_17(288, style),
            module_17(768, 128, style),
            module_17(768, 160, style),
            module_17(768, 160, style),
            module_17(768, 192, style),
            reduction_8(768, style),
            module_8(1280, style),
            module_8(2048, style),
        )
        dropout = DROPOUT if options.dropout is None else options.dropout
        super().__init__(features, 2048, dropout, options)
