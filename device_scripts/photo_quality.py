"""Is a photo sharp, and is it another one than those that are there?"""

from __future__ import annotations

import cv2
import numpy as np

HASH_SIDE = 8
SHORT_SIDE = 240
BLURRED_BELOW = 40.0
"""Sharpness below this is blur. Of 200 ImageNet photos 0.5 % lie below it; blurred by a Gaussian of 1.5, 2 and 3 pixels
(of SHORT_SIDE) 91.5, 99.5 and 100 % do. Motion along one line by 9 pixels it finds in a quarter of them only."""
SAME_BITS = 3
"""Of a hash's 64 bits, so many or fewer change by noise alone (sigma 6 of 255: 95 % of 100 photos)."""


def looked_at(pixels: np.ndarray) -> np.ndarray:
    """A photo as the two measures want it: grey, its shorter side SHORT_SIDE.

    Args:
        pixels: uint8 BGR [H,W,3].
    """
    height, width = pixels.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA)


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000), of a photo from `looked_at`."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def difference_hash(grey: np.ndarray) -> np.ndarray:
    """Whether each of 8x8 places is darker than the place to its right.

    Args:
        grey: uint8 [height, width].

    Returns:
        bool [64].
    """
    small = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()
