"""The base class of all networks, the options that a network is built with, and the normalization of its input.

Every network has convolutional features, global average pooling, dropout and a linear layer, in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor, nn

from edgenet.errors import EdgenetError
from edgenet.zoo.layers import Padding, initialize


class Classifier(nn.Module):
    """A network that maps normalized RGB [N,3,H,W] to logits [N,classes].

    Attributes:
        features: the convolutional layers, [N,3,H,W] to [N,C,h,w].
        pool: global average pooling to [N,C,1,1]; the identity in networks whose head reads the whole map.
        head: extra layers that some networks have between pooling and the last layer; else the identity.
        classifier: the last layer, [N,channels] to [N,classes].
        options: the settings that the network was built with.

    Args:
        features: see above.
        channels: the number of inputs of the last layer.
        dropout: the architecture's default share of the pooled features to drop, which `options` may override.
        options: see above.
        head: see above; None for the identity.
        pool: see above; None for global average pooling.
    """

    classifier: nn.Linear | nn.Conv2d

    def __init__(
        self,
        features: nn.Sequential,
        channels: int,
        dropout: float,
        options: NetworkOptions,
        head: nn.Module | None = None,
        pool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.features = features
        self.pool = pool or nn.AdaptiveAvgPool2d(1)
        self.head = head or nn.Identity()
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(options.dropout_or(dropout))
        self.classifier = nn.Linear(channels, options.classes)
        initialize(self)

    @property
    def normalization(self) -> Normalization:
        """The normalization that the network expects of its input."""
        return self.options.normalization

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits [N,classes] of normalized RGB `x` [N,3,H,W]."""
        pooled = self.head(self.pool(self.features(x)))
        return self.classifier(self.dropout(self.flatten(pooled)))


@dataclass(frozen=True)
class Normalization:
    """x = (rgb - mean) / std, with a mean and a std per colour in units of pixel values 0..255.

    Raises:
        EdgenetError: a value is not finite, or a std is not above 0.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        values = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(abs(v) < 1e6 for v in values):
            raise EdgenetError(
                f"the normalization has mean {self.mean} and std {self.std}", "give three finite numbers each"
            )
        if min(self.std) <= 0:
            raise EdgenetError(f"the normalization has std {self.std}", "every std must be above 0")

    def __call__(self, pixels: Tensor) -> Tensor:
        """Normalize float RGB `pixels` [N,3,H,W] in 0..255."""
        return (pixels - _per_colour(self.mean, pixels)) / _per_colour(self.std, pixels)


def _per_colour(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(1, 3, 1, 1)


# Ours. Zero is exactly the pixel value 127, so zero padding is padding with a pixel value, and folding is exact.
CENTRED = Normalization((127.0, 127.0, 127.0), (127.5, 127.5, 127.5))
# TF-slim's x / 127.5 - 1, where zero lies between two pixel values.
SLIM = Normalization((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
# torchvision's mean and std of ImageNet; torchvision states them in units of 0..1.
TORCHVISION = Normalization(
    (255 * 0.485, 255 * 0.456, 255 * 0.406),
    (255 * 0.229, 255 * 0.224, 255 * 0.225),
)


@dataclass(frozen=True)
class NetworkOptions:
    """The settings that a network is built with, besides its architecture, width and resolution.

    Attributes:
        classes: the number of outputs.
        dropout: the share of the pooled features that training drops; None uses the architecture's default.
        padding: "same" (as in TensorFlow) or "symmetric" (as in torch).
        epsilon: the epsilon of batch normalization.
        normalization: the normalization that the network expects of its input.
        fixed_stem: whether the first convolution keeps its full channels at every width multiplier. timm trained its
            narrow MobileNetV3 and V4 so; the other networks have no such form and ignore it.

    Raises:
        EdgenetError: a setting is out of range.
    """

    classes: int = 1000
    dropout: float | None = None
    padding: Padding = "same"
    epsilon: float = 1e-3
    normalization: Normalization = CENTRED
    fixed_stem: bool = False

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise EdgenetError(f"the number of classes is {self.classes}", "a classifier needs at least 2")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise EdgenetError(f"the dropout is {self.dropout}", "give a share from 0 to less than 1")
        if self.padding not in get_args(Padding):
            raise EdgenetError(f'the padding is "{self.padding}"', 'give "same" or "symmetric"')
        if not 0 < self.epsilon < 1:
            raise EdgenetError(
                f"the epsilon of batch normalization is {self.epsilon}",
                "give a number between 0 and 1, such as 1e-3",
            )

    def dropout_or(self, default: float) -> float:
        """Return the dropout, or the architecture's default if these options leave it open."""
        return default if self.dropout is None else self.dropout

    def stem_width(self, width: float) -> float:
        """Return the width multiplier of the first convolution in a network of this width."""
        return 1.0 if self.fixed_stem else width


class PixelNetwork(nn.Module):
    """A network with its normalization in front: float RGB [N,3,H,W] in 0..255 to logits [N,classes]."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (normalization.mean, normalization.std))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self.train(network.training)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the logits [N,classes] of float RGB `pixels` [N,3,H,W] in 0..255."""
        return self.network((pixels - self.mean) / self.std)
