"""VGG16 (arXiv 1409.1556, table 1, configuration D)."""

from __future__ import annotations

from torch import nn

from edgenet.zoo.alexnet import DROPOUT, WIDE, wide_layers
from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import biased_block
from edgenet.zoo.pooling import max_pool

RESOLUTION, STRIDE = 224, 32
# Channels and number of the 3x3 convolutions before each of the five max poolings.
STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


class VGG16(Classifier):
    """VGG16: maps normalized RGB [N,3,R,R] to logits [N,classes].

    Args:
        resolution: R, at least 32. The first fully connected layer reads the whole map, so weights fit only one
            resolution.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(self, resolution: int = RESOLUTION, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        features, channels = nn.Sequential(), 3
        for outputs, convolutions in STAGES:
            for _ in range(convolutions):
                features.append(biased_block((channels, outputs), options.padding, kernel=3))
                channels = outputs
            features.append(max_pool("valid", kernel=2))
        dropout = DROPOUT if options.dropout is None else options.dropout
        head = wide_layers(channels * (resolution // STRIDE) ** 2, dropout)
        super().__init__(features, WIDE, dropout, options, head, pool=nn.Identity())
