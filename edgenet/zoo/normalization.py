"""The normalization of pixels before a network's first convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgenet.errors import EdgenetError

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Normalization:
    """x = (rgb - mean) / std, with a mean and a std per colour in units of pixel values 0..255."""

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


# Zero is exactly the pixel value 127, so zero padding is padding with a pixel value, and folding is exact.
CENTRED = Normalization((127.0, 127.0, 127.0), (127.5, 127.5, 127.5))
# TF-slim's x / 127.5 - 1, where zero lies between two pixel values.
SLIM = Normalization((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
# torchvision's mean and std of ImageNet; torchvision states them in units of 0..1.
TORCHVISION = Normalization(
    (255 * 0.485, 255 * 0.456, 255 * 0.406),
    (255 * 0.229, 255 * 0.224, 255 * 0.225),
)


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
