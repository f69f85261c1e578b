"""EfficientNet-Lite0 to Lite4 (tensorflow/tpu, models/official/efficientnet/lite), for int8 hardware.

They are EfficientNets (arXiv 1905.11946, table 1) without squeeze-and-excite and with ReLU6. Larger networks have more
channels and more blocks per stage, except that the first convolution, the number of blocks of the first and the last
stage, and the last convolution are those of Lite0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from edgenet.zoo.classifier import BlockStyle, Classifier, NetworkOptions, conv_block
from edgenet.zoo.mobilenet_v2 import InvertedResidual, make_divisible

STEM, LAST = 32, 1280
# Kernel, stride of the first block, expansion factor, output channels and blocks of each stage of Lite0.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class Size:
    """How one of the five networks differs from Lite0.

    Attributes:
        width: the factor of the channels.
        depth: the factor of the blocks of a stage, rounded up.
        resolution: the side of the input for which the network was designed, pixels.
        dropout: the share of the pooled features that training drops.
    """

    width: float
    depth: float
    resolution: int
    dropout: float


SIZES = (
    Size(1.0, 1.0, 224, 0.2),
    Size(1.0, 1.1, 240, 0.2),
    Size(1.1, 1.2, 260, 0.3),
    Size(1.2, 1.4, 280, 0.3),
    Size(1.4, 1.8, 300, 0.3),
)


class EfficientNetLite(Classifier):
    """EfficientNet-Lite: maps normalized RGB [N,3,H,W], H and W at least 32, to logits [N,classes].

    Args:
        size: one of `SIZES`.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(self, size: Size = SIZES[0], options: NetworkOptions = NetworkOptions()) -> None:
        style = BlockStyle(options.padding, options.epsilon)
        features = nn.Sequential(conv_block((3, STEM), style, kernel=3, stride=2))
        channels = STEM
        for kernel, stride, expansion, outputs in blocks_of(size):
            features.append(InvertedResidual((channels, outputs), expansion, stride, style, kernel))
            channels = outputs
        features.append(conv_block((channels, LAST), style))
        super().__init__(features, LAST, size.dropout, options)


def blocks_of(size: Size) -> Iterator[tuple[int, int, int, int]]:
    """Yield kernel, stride, expansion factor and output channels of each block."""
    for number, (kernel, stride, expansion, channels, blocks) in enumerate(STAGES):
        fixed = number in (0, len(STAGES) - 1)
        for repetition in range(blocks if fixed else math.ceil(blocks * size.depth)):
            yield kernel, stride if repetition == 0 else 1, expansion, make_divisible(channels * size.width)
