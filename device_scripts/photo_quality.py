"""Measures whether a photo is sharp, and whether it resembles another photo."""

from __future__ import annotations

import cv2
import numpy as np

HASH_SIDE = 8
SHORT_SIDE = 240
BLURRED_BELOW = 40.0
"""A photo with a lower sharpness counts as blurred. Of 200 ImageNet photos 0.5 % lie below it; of those
photos blurred by a Gaussian of 1.5, 2 and 3 pixels (of SHORT_SIDE), 91.5, 99.5 and 100 % do. Motion blur of
9 pixels along one line is found in only a quarter of them."""
SAME_BITS = 3
"""Two photos count as alike if at most this many of their hashes' 64 bits differ, as noise alone can change
that many: with sigma 6 of 255, 95 % of 100 photos changed no more."""


def looked_at(pixels: np.ndarray) -> np.ndarray:
    """Return a photo in the form that the two measures take: grey, its shorter side SHORT_SIDE pixels.

    Args:
        pixels: uint8 BGR [H,W,3].

    Returns:
        uint8 [height, width].
    """
    height, width = pixels.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA)


def sharpness(grey: np.ndarray) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al. 2000) of a photo from `looked_at`."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def difference_hash(grey: np.ndarray) -> np.ndarray:
    """Return, for each cell of an 8x8 grid, whether it is darker than the cell to its right.

    Args:
        grey: uint8 [height, width].

    Returns:
        bool [64].
    """
    small = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()
