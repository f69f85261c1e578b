"""A training photo as it is seen once: a random crop, resized, perhaps mirrored, its colours a little off.

The crop and the resizing follow Inception's (arXiv 1409.4842, section 6): a random share of the photo's area, a random
aspect ratio between 3/4 and 4/3. The colours: brightness, contrast and saturation times a random factor each.
All colour changes together are one 3x4 matrix for each photo, which is also where BGR becomes RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgenet.training.recipe import Augmentation

ASPECT = 4 / 3
# ITU-R BT.601's weights of blue, green and red in grey, as OpenCV has them.
_GREY = np.array((0.114, 0.587, 0.299))
_TO_RGB = np.eye(3)[::-1]


@dataclass(frozen=True)
class Draws:
    """Random numbers for a batch, each in 0..1, float64 [n]."""

    area: np.ndarray
    aspect: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray

    def take(self, rows: slice) -> Draws:
        """Those for some of the photos."""
        return Draws(**{name: values[rows] for name, values in vars(self).items()})


def draw(rng: np.random.Generator, photos: int) -> Draws:
    """The numbers that decide how `photos` photos are seen."""
    return Draws(*rng.random((8, photos)))


def augmented(bgr: np.ndarray, out: np.ndarray, augmentation: Augmentation, draws: Draws, index: int) -> None:
    """Writes one photo as it is seen this time.

    Args:
        bgr: uint8 [height, width, 3].
        out: uint8 RGB [size, size, 3]; overwritten.
        index: which of the draws are this photo's.
    """
    top, left, height, width = crop_of(bgr.shape[:2], augmentation.crop_scale, draws, index)
    size = out.shape[0]
    seen = cv2.resize(
        bgr[top : top + height, left : left + width], (size, size), interpolation=cv2.INTER_LINEAR
    )
    if augmentation.colour:
        seen = cv2.transform(seen, colour_matrix(seen, augmentation.colour, draws, index))
    else:
        seen = cv2.cvtColor(seen, cv2.COLOR_BGR2RGB)
    mirrored = augmentation.flip and draws.flip[index] < 0.5
    out[:] = seen[:, ::-1] if mirrored else seen


def crop_of(shape: tuple[int, ...], smallest: float, draws: Draws, index: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the crop in a photo of this shape, pixels.

    Where a crop of that area and aspect ratio does not fit, it is cut at the photo's edge.
    """
    area = (smallest + (1 - smallest) * draws.area[index]) * shape[0] * shape[1]
    aspect = ASPECT ** (2 * draws.aspect[index] - 1)
    height = min(max(round((area / aspect) ** 0.5), 1), shape[0])
    width = min(max(round((area * aspect) ** 0.5), 1), shape[1])
    top = int(draws.top[index] * (shape[0] - height + 1))
    left = int(draws.left[index] * (shape[1] - width + 1))
    return top, left, height, width


def colour_matrix(bgr: np.ndarray, strength: float, draws: Draws, index: int) -> np.ndarray:
    """The matrix [3,4] that takes (blue, green, red, 1) to RGB with other brightness, contrast and saturation.

    With s, c, b the three factors and g the photo's mean grey: x -> b (c (s x + (1 - s) grey(x)) + (1 - c) g).
    """
    brightness, contrast, saturation = (
        1 + strength * (2 * drawn[index] - 1)
        for drawn in (draws.brightness, draws.contrast, draws.saturation)
    )
    grey = float(_GREY @ cv2.mean(bgr)[:3])
    colours = saturation * _TO_RGB + (1 - saturation) * _GREY
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    return np.hstack([brightness * contrast * colours, offset])
