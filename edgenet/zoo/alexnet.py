"""AlexNet (Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.5 and figure 2).

It keeps the original's two convolution groups, which ran on two graphics cards. It leaves out the original's local
response normalization: VGG found no benefit from it (arXiv 1409.1556, section 2.1), int8 has no operator for it, and it
adds nothing to the counts of mult-adds and parameters. The paper says 224 pixels, but without padding its maps of 55x55
need 227.
"""

from __future__ import annotations

from torch import nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import biased_block
from edgenet.zoo.pooling import max_pool

RESOLUTION, SMALLEST = 227, 67
LAST, WIDE = 256, 4096
DROPOUT = 0.5


def map_side(resolution: int) -> int:
    """Return the side of the last map, after an 11x11 convolution at stride 4 and three 3x3 poolings at stride 2.

    None of these layers pads its input.
    """
    side = (resolution - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


class AlexNet(Classifier):
    """AlexNet: maps normalized RGB [N,3,R,R] to logits [N,classes].

    Args:
        resolution: R, at least 67. The first fully connected layer reads the whole map, so weights fit only one
            resolution.
        options: the number of classes, dropout, padding and so on.
    """

    def __init__(self, resolution: int = RESOLUTION, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        padding = options.padding
        features = nn.Sequential(
            biased_block((3, 96), "valid", kernel=11, stride=4),
            max_pool("valid"),
            biased_block((96, 256), padding, kernel=5, groups=2),
            max_pool("valid"),
            biased_block((256, 384), padding, kernel=3),
            biased_block((384, 384), padding, kernel=3, groups=2),
            biased_block((384, LAST), padding, kernel=3, groups=2),
            max_pool("valid"),
        )
        dropout = DROPOUT if options.dropout is None else options.dropout
        head = wide_layers(LAST * map_side(resolution) ** 2, dropout)
        super().__init__(features, WIDE, dropout, options, head, pool=nn.Identity())


def wide_layers(inputs: int, dropout: float) -> nn.Sequential:
    """Return the two hidden fully connected layers of 4096 units, with dropout between them: [N,C,h,w] to [N,4096]."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, WIDE),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(WIDE, WIDE),
        nn.ReLU(),
    )
