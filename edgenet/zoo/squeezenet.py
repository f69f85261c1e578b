"""SqueezeNet 1.0, without bypass (arXiv 1602.07360, section 3 and table 1).

The paper says 224 pixels, but without padding its maps of 111, 55, 27 and 13 need 227 pixels. The authors' own files
also take 227.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import LayerPadding, biased_block
from edgenet.zoo.pooling import Branches, max_pool

SMALLEST = 35
STEM = 96
# Squeeze, 1x1 and 3x3 channels of each fire module; None is a max pooling.
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
DROPOUT = 0.5


def fire(inputs: int, channels: tuple[int, int, int], padding: LayerPadding) -> nn.Sequential:
    """Return a fire module (section 3.2): a squeezing 1x1 convolution, then parallel 1x1 and 3x3 convolutions."""
    squeezed, pointwise, wide = channels
    return nn.Sequential(
        biased_block((inputs, squeezed), padding),
        Branches(
            biased_block((squeezed, pointwise), padding), biased_block((squeezed, wide), padding, kernel=3)
        ),
    )


class SqueezeNet(Classifier):
    """SqueezeNet: maps normalized RGB [N,3,H,W], H and W at least 35, to logits [N,classes].

    The last layer is a 1x1 convolution with ReLU. The average of its map gives the logits.
    """

    def __init__(self, options: NetworkOptions | None = None) -> None:
        options = options or NetworkOptions()
        features = nn.Sequential(biased_block((3, STEM), "valid", kernel=7, stride=2), max_pool("valid"))
        channels = STEM
        for row in FIRES:
            features.append(max_pool("valid") if row is None else fire(channels, row, options.padding))
            channels = channels if row is None else row[1] + row[2]
        dropout = DROPOUT if options.dropout is None else options.dropout
        super().__init__(features, channels, dropout, options)
        self.classifier = nn.Conv2d(channels, options.classes, 1)
        if not self.classifier.weight.is_meta:
            nn.init.normal_(self.classifier.weight, std=0.01)
            nn.init.zeros_(self.classifier.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        scores = torch.relu(self.classifier(self.dropout(self.features(x))))
        return self.flatten(self.pool(scores))
