"""GoogLeNet (arXiv 1409.4842, table 1), without the auxiliary classifiers, which only training needs.

Local response normalization is left out, as in AlexNet here. With SAME padding the maps have the paper's sides of 112,
56, 28, 14 and 7 pixels.
"""

from __future__ import annotations

from torch import nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import LayerPadding, biased_block
from edgenet.zoo.pooling import Branches, max_pool

# Columns of table 1: "#1x1", "#3x3 reduce", "#3x3", "#5x5 reduce", "#5x5", "pool proj"; None: max pooling.
INCEPTIONS = (
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
STEM, SECOND = 64, 192
DROPOUT = 0.4

Channels = tuple[int, int, int, int, int, int]


def inception(inputs: int, channels: Channels, padding: LayerPadding) -> Branches:
    """Return an inception module with dimension reductions (figure 2b).

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


def outputs(channels: Channels) -> int:
    """Return the number of output channels of an inception module."""
    return channels[0] + channels[2] + channels[4] + channels[5]


class GoogLeNet(Classifier):
    """GoogLeNet: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes]."""

    def __init__(self, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        padding = options.padding
        features = nn.Sequential(
            biased_block((3, STEM), padding, kernel=7, stride=2),
            max_pool(padding),
            biased_block((STEM, STEM), padding),
            biased_block((STEM, SECOND), padding, kernel=3),
            max_pool(padding),
        )
        inputs = SECOND
        for row in INCEPTIONS:
            features.append(max_pool(padding) if row is None else inception(inputs, row, padding))
            inputs = inputs if row is None else outputs(row)
        dropout = DROPOUT if options.dropout is None else options.dropout
        super().__init__(features, inputs, dropout, options)
