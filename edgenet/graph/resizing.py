"""Where each pixel of a resized picture comes from, and the resizing itself, in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import Resize


@dataclass(frozen=True, eq=False)
class Taps:
    """The two input positions between which each output position along one axis lies, [N] each.

    Attributes:
        low, high: their indices.
        share: the weight of the position `high`, float32 from 0 to 1.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    share: NDArray[np.float32]


def taps(operator: Resize, size: tuple[int, int]) -> tuple[Taps, Taps]:
    """Return the taps along height and width of a bilinear resizing of a picture of this height and width.

    The positions are computed in float32 in XNNPACK's order of operations (`indirection.c`).
    """
    along = (_taps_along(operator, n, m) for n, m in zip(size, operator.size, strict=True))
    height, width = along
    return height, width


def _taps_along(operator: Resize, source: int, target: int) -> Taps:
    steps = operator.align_corners and target > 1
    scale = np.float32(source - steps) / np.float32(target - steps)
    offset = np.float32(0.5) * scale - np.float32(0.5) if operator.half_pixel else np.float32(0)
    positions = np.arange(target, dtype=np.float32) * scale + offset
    positions = positions.clip(0, source - 1).astype(np.float32)
    low = positions.astype(np.int64)
    return Taps(low, np.minimum(low + 1, source - 1), positions - low.astype(np.float32))


def nearest(operator: Resize, size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the input rows and columns that the nearest-pixel resizing picks, as LiteRT computes them."""
    rows, columns = (_nearest_along(operator, n, m) for n, m in zip(size, operator.size, strict=True))
    return rows, columns


def _nearest_along(operator: Resize, source: int, target: int) -> NDArray[np.int64]:
    steps = operator.align_corners and target > 1
    scale = np.float32(source - steps) / np.float32(target - steps)
    offset = np.float32(0.5 if operator.half_pixel else 0.0)
    positions = (np.arange(target, dtype=np.float32) + offset) * scale
    whole = np.rint(positions) if operator.align_corners else np.floor(positions)
    return whole.astype(np.int64).clip(0, source - 1)


def resize(x: Tensor, operator: Resize) -> Tensor:
    """Resize pictures [n, H, W, C] of any type by the nearest pixel, or float32 ones bilinearly."""
    size = (x.shape[1], x.shape[2])
    if operator.kind == "nearest":
        rows, columns = (torch.from_numpy(picked) for picked in nearest(operator, size))
        return x[:, rows][:, :, columns]
    height, width = taps(operator, size)
    share = torch.from_numpy(height.share)[:, None, None]
    x = torch.lerp(x[:, height.low], x[:, height.high], share)
    share = torch.from_numpy(width.share)[:, None]
    return torch.lerp(x[:, :, width.low], x[:, :, width.high], share)
