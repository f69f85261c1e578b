"""Variants of the calibration photos, which reach values that the photos themselves do not."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

CLOSER = 5 / 8
"""Share of the picture's sides that a closer view shows."""


def variants(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return one variant of each photo, of the same size: closer views of the even ones, sharper ones of the odd ones.

    Calibration photos often lack both. A camera's frame that was made smaller without smoothing has harder edges than a
    photo, and a thing that fills the picture excites a network otherwise than a scene does. Both reach values that the
    photos themselves do not.

    Args:
        images: uint8 RGB [n, H, W, 3].
    """
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    made = torch.empty_like(pixels)
    made[::2], made[1::2] = _closer(pixels[::2]), _sharper(pixels[1::2])
    return made.round_().clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def _closer(pixels: Tensor) -> Tensor:
    """Return the middle of each picture, mirrored and enlarged to the whole size, [n, 3, H, W]."""
    if not len(pixels):
        return pixels
    height, width = pixels.shape[2:]
    rows, columns = max(1, round(CLOSER * height)), max(1, round(CLOSER * width))
    top, left = (height - rows) // 2, (width - columns) // 2
    middle = pixels[:, :, top : top + rows, left : left + columns].flip(3)
    return functional.interpolate(middle, (height, width), mode="bilinear", align_corners=False)


def _sharper(pixels: Tensor) -> Tensor:
    """Return the pictures with their differences from the mean of 3x3 pixels doubled, [n, 3, H, W]."""
    smooth = functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
    return 2 * pixels - smooth
