"""AlexNet, VGG16 and SqueezeNet: classic networks of biased convolutions with ReLU, without batch normalization.

The MobileNets papers compare their networks with these. `inception.py` holds GoogLeNet and its descendants.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgenet.zoo.classifier import Classifier, NetworkOptions
from edgenet.zoo.layers import Branches, LayerPadding, biased_block, max_pool

# All three networks drop half of the features.
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
