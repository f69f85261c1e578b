"""Photos of one colour."""

from __future__ import annotations

import cv2
import numpy as np

BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


def solid(colour: str, seed: int = 0) -> bytes:
    """A PNG of one colour, a little different for every seed."""
    pixels = np.full((20, 30, 3), BGR[colour], np.uint8)
    pixels[0, 0] = seed
    return bytes(cv2.imencode(".png", pixels)[1])
