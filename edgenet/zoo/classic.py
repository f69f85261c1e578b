"""The networks with which the MobileNets papers compare theirs: from AlexNet and VGG16 to Inception V3 and Xception.

AlexNet, VGG16 and SqueezeNet are biased convolutions with ReLU, without batch normalization. GoogLeNet, Inception V3
and Xception work in parallel branches or with separable filters. The auxiliary classifiers of GoogLeNet and Inception
V3 are left out, because only training needs them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from edgenet.zoo.classifier import (
    BlockStyle,
    Branches,
    Classifier,
    Kernel,
    LayerPadding,
    NetworkOptions,
    average_pool,
    biased_block,
    conv_block,
    convolution,
    max_pool,
)

# AlexNet, VGG16 and SqueezeNet drop half of the features.
DROPOUT = 0.5
# The units of the two hidden fully connected layers of AlexNet and VGG16.
HIDDEN = 4096


class AlexNet(Classifier):
    """AlexNet (Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.5 and figure 2).

    It maps normalized RGB [N,3,R,R] to logits [N,classes]. It keeps the original's two convolution groups, which ran on
    two graphics cards. It leaves out the original's local response normalization: VGG found no benefit from it
    (arXiv 1409.1556, section 2.1), int8 has no operator for it, and it adds nothing to the counts of mult-adds and
    parameters. The paper says 224 pixels, but without padding its maps of 55x55 need 227.

    Args:
        resolution: R, at least 67. The first fully connected layer reads the whole map, so weights fit only one
            resolution.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(self, resolution: int = 227, options: NetworkOptions = NetworkOptions()) -> None:
        padding = options.padding
        features = nn.Sequential(
            biased_block((3, 96), "valid", kernel=11, stride=4),
            max_pool("valid"),
            biased_block((96, 256), padding, kernel=5, groups=2),
            max_pool("valid"),
            biased_block((256, 384), padding, kernel=3),
            biased_block((384, 384), padding, kernel=3, groups=2),
            biased_block((384, 256), padding, kernel=3, groups=2),
            max_pool("valid"),
        )
        head = hidden_layers(256 * alexnet_map_side(resolution) ** 2, options)
        super().__init__(features, HIDDEN, DROPOUT, options, head, pool=nn.Identity())


def alexnet_map_side(resolution: int) -> int:
    """Return the side of AlexNet's last map, after an 11x11 convolution at stride 4 and three 3x3 poolings at stride 2.

    None of these layers pads its input. The side is below 1 for resolutions below 67.
    """
    side = (resolution - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


def hidden_layers(inputs: int, options: NetworkOptions) -> nn.Sequential:
    """Return the two hidden fully connected layers, with dropout between them: [N,C,h,w] to [N,4096]."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, HIDDEN),
        nn.ReLU(),
        nn.Dropout(options.dropout_or(DROPOUT)),
        nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
    )


# Output channels and number of the 3x3 convolutions before each of VGG16's five max poolings.
VGG16_STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(Classifier):
    """VGG16 (arXiv 1409.1556, table 1, configuration D): maps normalized RGB [N,3,R,R] to logits [N,classes].

    Args:
        resolution: R, at least 32. The first fully connected layer reads the whole map, so weights fit only one
            resolution.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(self, resolution: int = 224, options: NetworkOptions = NetworkOptions()) -> None:
        features, channels, side = nn.Sequential(), 3, resolution
        for outputs, convolutions in VGG16_STAGES:
            for _ in range(convolutions):
                features.append(biased_block((channels, outputs), options.padding, kernel=3))
                channels = outputs
            features.append(max_pool("valid", kernel=2))
            side //= 2
        head = hidden_layers(channels * side**2, options)
        super().__init__(features, HIDDEN, DROPOUT, options, head, pool=nn.Identity())


# Squeeze, 1x1 and 3x3 channels of each of SqueezeNet's fire modules; None is a max pooling.
FIRES = (
    (16, 64, 64),
    (16, 64, 64),
    (32, 128, 128),
    None,
    (32, 128, 128),
    (48, 192, 192),
    (48, 192, 192),
    (64, 256, 256),
    None,
    (64, 256, 256),
)


class SqueezeNet(Classifier):
    """SqueezeNet 1.0, without bypass (arXiv 1602.07360, section 3 and table 1).

    It maps normalized RGB [N,3,H,W], H and W at least 35, to logits [N,classes]. The last layer is a 1x1 convolution
    with ReLU, and the average of its map gives the logits. The paper says 224 pixels, but without padding its maps of
    111, 55, 27 and 13 need 227 pixels. The authors' own files also take 227.
    """

    def __init__(self, options: NetworkOptions = NetworkOptions()) -> None:
        channels = 96
        features = nn.Sequential(biased_block((3, channels), "valid", kernel=7, stride=2), max_pool("valid"))
        for row in FIRES:
            features.append(max_pool("valid") if row is None else fire(channels, row, options.padding))
            channels = channels if row is None else row[1] + row[2]
        super().__init__(features, channels, DROPOUT, options)
        self.classifier = nn.Conv2d(channels, options.classes, 1)
        if not self.classifier.weight.is_meta:
            nn.init.normal_(self.classifier.weight, std=0.01)
            nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        scores = torch.relu(self.classifier(self.dropout(self.features(x))))
        return self.flatten(self.pool(scores))


def fire(inputs: int, channels: tuple[int, int, int], padding: LayerPadding) -> nn.Sequential:
    """Return a fire module (section 3.2): a squeezing 1x1 convolution, then parallel 1x1 and 3x3 convolutions."""
    squeezed, pointwise, wide = channels
    return nn.Sequential(
        biased_block((inputs, squeezed), padding),
        Branches(
            biased_block((squeezed, pointwise), padding), biased_block((squeezed, wide), padding, kernel=3)
        ),
    )


# A row of GoogLeNet's table 1: "#1x1", "#3x3 reduce", "#3x3", "#5x5 reduce", "#5x5", "pool proj".
InceptionChannels = tuple[int, int, int, int, int, int]
# GoogLeNet's inception modules; None is a max pooling.
INCEPTIONS: tuple[InceptionChannels | None, ...] = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    None,
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    None,
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)


class GoogLeNet(Classifier):
    """GoogLeNet (arXiv 1409.4842, table 1): maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    Local response normalization is left out, as in our AlexNet. With SAME padding the maps have the paper's sides of
    112, 56, 28, 14 and 7 pixels.
    """

    def __init__(self, options: NetworkOptions = NetworkOptions()) -> None:
        padding = options.padding
        features = nn.Sequential(
            biased_block((3, 64), padding, kernel=7, stride=2),
            max_pool(padding),
            biased_block((64, 64), padding),
            biased_block((64, 192), padding, kernel=3),
            max_pool(padding),
        )
        inputs = 192
        for row in INCEPTIONS:
            features.append(max_pool(padding) if row is None else inception(inputs, row, padding))
            inputs = inputs if row is None else row[0] + row[2] + row[4] + row[5]
        super().__init__(features, inputs, 0.4, options)


def inception(inputs: int, channels: InceptionChannels, padding: LayerPadding) -> Branches:
    """Return an inception module with dimension reductions (figure 2b of GoogLeNet's paper).

    Args:
        inputs: the number of input channels.
        channels: a row of `INCEPTIONS`.
        padding: the padding of all its layers.
    """
    pointwise, reduce3, wide3, reduce5, wide5, pooled = channels
    return Branches(
        biased_block((inputs, pointwise), padding),
        nn.Sequential(
            biased_block((inputs, reduce3), padding), biased_block((reduce3, wide3), padding, kernel=3)
        ),
        nn.Sequential(
            biased_block((inputs, reduce5), padding), biased_block((reduce5, wide5), padding, kernel=5)
        ),
        nn.Sequential(max_pool(padding, stride=1), biased_block((inputs, pooled), padding)),
    )


class InceptionV3(Classifier):
    """Inception V3 (arXiv 1512.00567, table 1 and figures 5 to 7 and 10).

    It maps normalized RGB [N,3,H,W], H and W at least 75, to logits [N,classes]. The paper does not give all channel
    numbers and paddings, so they follow the authors' code (tensorflow/models, research/slim/nets/inception_v3.py). The
    stem, except its third convolution, and the layers that halve the resolution have no padding; all other layers use
    SAME padding.
    """

    def __init__(self, options: NetworkOptions = NetworkOptions()) -> None:
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        features = nn.Sequential(
            *inception_v3_stem(style),
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
        super().__init__(features, 2048, 0.2, options)


def inception_v3_stem(style: BlockStyle) -> nn.Sequential:
    """Return the first layers, which reduce the 299x299 picture to 35x35 maps (table 1)."""
    unpadded = replace(style, padding="valid")
    return nn.Sequential(
        conv_block((3, 32), unpadded, 3, stride=2),
        conv_block((32, 32), unpadded, 3),
        conv_block((32, 64), style, 3),
        max_pool("valid"),
        conv_block((64, 80), unpadded),
        conv_block((80, 192), unpadded, 3),
        max_pool("valid"),
    )


def module_35(inputs: int, pool: int, style: BlockStyle) -> Branches:
    """Return the module of figure 5, for 35x35 maps; the second branch has a 5x5 kernel, as in the authors' code."""
    return Branches(
        chain(inputs, style, (64, 1)),
        chain(inputs, style, (48, 1), (64, 5)),
        chain(inputs, style, (64, 1), (96, 3), (96, 3)),
        pooling_branch(inputs, pool, style),
    )


def reduction_17(inputs: int, style: BlockStyle) -> Branches:
    """Return the module that reduces maps from 35x35 to 17x17 (figure 10)."""
    return Branches(
        stride2_conv(inputs, 384, style),
        nn.Sequential(chain(inputs, style, (64, 1), (96, 3)), stride2_conv(96, 96, style)),
        max_pool("valid"),
    )


# The two kernels that a 7x7 convolution is factorized into.
ROW, COLUMN = (1, 7), (7, 1)


def module_17(inputs: int, inner: int, style: BlockStyle) -> Branches:
    """Return the module of figure 6, for 17x17 maps; 7x7 convolutions are factorized into 1x7 and 7x1."""
    return Branches(
        chain(inputs, style, (192, 1)),
        chain(inputs, style, (inner, 1), (inner, ROW), (192, COLUMN)),
        chain(inputs, style, (inner, 1), (inner, COLUMN), (inner, ROW), (inner, COLUMN), (192, ROW)),
        pooling_branch(inputs, 192, style),
    )


def reduction_8(inputs: int, style: BlockStyle) -> Branches:
    """Return the module that reduces maps from 17x17 to 8x8."""
    return Branches(
        nn.Sequential(chain(inputs, style, (192, 1)), stride2_conv(192, 320, style)),
        nn.Sequential(
            chain(inputs, style, (192, 1), (192, ROW), (192, COLUMN)), stride2_conv(192, 192, style)
        ),
        max_pool("valid"),
    )


def module_8(inputs: int, style: BlockStyle) -> Branches:
    """Return the module of figure 7, for 8x8 maps, with expanded filter banks."""
    return Branches(
        chain(inputs, style, (320, 1)),
        nn.Sequential(chain(inputs, style, (384, 1)), _row_and_column(384, style)),
        nn.Sequential(chain(inputs, style, (448, 1), (384, 3)), _row_and_column(384, style)),
        pooling_branch(inputs, 192, style),
    )


def _row_and_column(channels: int, style: BlockStyle) -> Branches:
    """Return a 1x3 and a 3x1 convolution side by side."""
    return Branches(
        chain(channels, style, (channels, (1, 3))),
        chain(channels, style, (channels, (3, 1))),
    )


def chain(inputs: int, style: BlockStyle, *convolutions: tuple[int, Kernel]) -> nn.Sequential:
    """Return a chain of convolutions.

    Args:
        inputs: the number of input channels.
        style: the style of the blocks.
        convolutions: the output channels and the kernel of each convolution.
    """
    layers = nn.Sequential()
    for outputs, kernel in convolutions:
        layers.append(conv_block((inputs, outputs), style, kernel))
        inputs = outputs
    return layers


def pooling_branch(inputs: int, outputs: int, style: BlockStyle) -> nn.Sequential:
    """Return the pooling branch: 3x3 average pooling, then a 1x1 convolution."""
    return nn.Sequential(average_pool(), conv_block((inputs, outputs), style))


def stride2_conv(inputs: int, outputs: int, style: BlockStyle) -> nn.Sequential:
    """Return a 3x3 convolution at stride 2 without padding, which halves the resolution."""
    return conv_block((inputs, outputs), replace(style, padding="valid"), 3, stride=2)


class Xception(Classifier):
    """Xception (arXiv 1610.02357, figure 5): maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    Its entry flow has three residual blocks that halve the resolution, its middle flow eight blocks that keep it, and
    its exit flow one block that halves it and two separable convolutions.
    """

    def __init__(self, options: NetworkOptions = NetworkOptions()) -> None:
        style = BlockStyle(options.padding, options.epsilon, nn.ReLU)
        unpadded = replace(style, padding="valid")
        features = nn.Sequential(
            conv_block((3, 32), unpadded, 3, stride=2),
            conv_block((32, 64), unpadded, 3),
            XceptionBlock((64, 128, 128), style, halve=True, first_relu=False),
            XceptionBlock((128, 256, 256), style, halve=True),
            XceptionBlock((256, 728, 728), style, halve=True),
            *(XceptionBlock((728, 728, 728, 728), style, halve=False) for _ in range(8)),
            XceptionBlock((728, 728, 1024), style, halve=True),
            separable_conv((1024, 1536), style, activate=True),
            separable_conv((1536, 2048), style, activate=True),
        )
        super().__init__(features, 2048, 0.5, options)


class XceptionBlock(nn.Module):
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
            self.layers.append(separable_conv(pair, style))
        self.shortcut: nn.Module = nn.Identity()
        if halve:
            self.layers.append(max_pool(style.padding))
            self.shortcut = conv_block((channels[0], channels[-1]), style, stride=2, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N,C,H,W] to [N,C',H,W], or to [N,C',ceil(H/2),ceil(W/2)] if the block pools."""
        return self.layers(x) + self.shortcut(x)


def separable_conv(channels: tuple[int, int], style: BlockStyle, activate: bool = False) -> nn.Sequential:
    """Return a 3x3 depthwise and a 1x1 pointwise convolution, then batch normalization.

    There is neither normalization nor activation between the two convolutions (section 4.7).
    """
    layers = nn.Sequential()
    layers.depthwise = convolution((channels[0], channels[0]), style.padding, 3, groups=channels[0])
    layers.pointwise = conv_block(channels, style, activate=activate)
    return layers
