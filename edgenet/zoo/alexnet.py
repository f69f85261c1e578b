"""AlexNet (Krizhevsky, Sutskever and Hinton, NIPS 2012, section 3.5 and figure 2).

With the original's two groups, which were two graphics cards. Its local response normalization is left out: VGG found
that it improves nothing (arXiv 1409.1556, section 2.1), int8 has no operator for it, and it counts for nothing in
mult-adds and parameters. The paper says 224 pixels, but its maps of 55x55 need 227 where nothing is padded.
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
    """Side of the last map: 11x11 at stride 4, then three times 3x3 pooling at stride 2, all without padding."""
    side = (resolution - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return side


class AlexNet(Classifier):
    """Normalized RGB [N,3,R,R] to logits [N,classes].

    Args:
        resolution: R, at least 67. The first fully connected layer reads the whole map, so weights fit one resolution.
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
    """The two fully connected layers of 4096 before the last, with dropout between them: [N,C,h,w] to [N,4096]."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(inputs, WIDE),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(WIDE, WIDE),
        nn.ReLU(),
    )
