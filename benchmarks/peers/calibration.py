"""The calibration photos for the peers' scripts; this runs in each peer's environment, with numpy and Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.normalizations import Normalization


def normalized_photos(folder: Path, normalization: Normalization) -> Iterator[NDArray[np.float32]]:
    """Yield the .png files in the order of their names, each float32 [1, H, W, 3]; they have the network's size."""
    mean, std = (np.array(values, np.float32) for values in normalization)
    for path in sorted(folder.glob("*.png")):
        yield (np.asarray(Image.open(path).convert("RGB"), np.float32)[None] - mean) / std


def channels_first(photo: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a photo [1, H, W, 3] as [1, 3, H, W], contiguous."""
    return np.ascontiguousarray(photo.transpose(0, 3, 1, 2))
