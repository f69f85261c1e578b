"""Data augmentation: each time a photo is used, it is cropped, resized, mirrored and recoloured at random.

Cropping and resizing follow Inception (arXiv 1409.4842, section 6): the crop covers a random share of the photo's area
and has a random aspect ratio between 3/4 and 4/3. Brightness, contrast and saturation are each multiplied by a random
factor. All colour changes of a photo are combined into one 3x4 matrix, which also converts BGR to RGB.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from edgenet.training.recipe import Augmentation

ASPECT = 4 / 3
# ITU-R BT.601's weights of blue, green and red in grey, in OpenCV's channel order.
_GREY = np.array((0.114, 0.587, 0.299))
_TO_RGB = np.eye(3)[::-1]


@dataclass(frozen=True)
class Draws:
    """The random numbers for one batch: each field is float64 [n] in [0, 1), one number per photo."""

    area: np.ndarray
    aspect: np.ndarray
    top: np.ndarray
    left: np.ndarray
    flip: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray

    def take(self, rows: slice) -> Draws:
        """Return the numbers for some of the photos."""
        return Draws(**{name: values[rows] for name, values in vars(self).items()})


def draw(rng: np.random.Generator, photos: int) -> Draws:
    """Draw the numbers that decide how `photos` photos are augmented."""
    return Draws(*rng.random((8, photos)))


def augmented(bgr: np.ndarray, out: np.ndarray, augmentation: Augmentation, draws: Draws, index: int) -> None:
    """Augment one photo and write the result into `out`.

    Args:
        bgr: the photo, uint8 BGR [height, width, 3].
        out: uint8 RGB [size, size, 3]; it is overwritten.
        augmentation: how strong the changes may be.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
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
    """Return top, left, height and width of the crop, in pixels.

    A crop that is higher or wider than the photo is shortened to the photo's height or width.

    Args:
        shape: height and width of the photo, pixels.
        smallest: the smallest share of the photo's area that a crop covers.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    area = (smallest + (1 - smallest) * draws.area[index]) * shape[0] * shape[1]
    aspect = ASPECT ** (2 * draws.aspect[index] - 1)
    height = min(max(round((area / aspect) ** 0.5), 1), shape[0])
    width = min(max(round((area * aspect) ** 0.5), 1), shape[1])
    top = int(draws.top[index] * (shape[0] - height + 1))
    left = int(draws.left[index] * (shape[1] - width + 1))
    return top, left, height, width


def colour_matrix(bgr: np.ndarray, strength: float, draws: Draws, index: int) -> np.ndarray:
    """Return the matrix [3,4] that turns (blue, green, red, 1) into RGB with changed colours.

    With factors b (brightness), c (contrast) and s (saturation), and the photo's mean grey g, a pixel x becomes
    b (c (s x + (1 - s) grey(x)) + (1 - c) g).

    Args:
        bgr: the photo, uint8 BGR [height, width, 3].
        strength: each factor lies between 1 - strength and 1 + strength.
        draws: the random numbers of the batch.
        index: the photo's place in `draws`.
    """
    brightness, contrast, saturation = (
        1 + strength * (2 * drawn[index] - 1)
        for drawn in (draws.brightness, draws.contrast, draws.saturation)
    )
    grey = float(_GREY @ cv2.mean(bgr)[:3])
    colours = saturation * _TO_RGB + (1 - saturation) * _GREY
    offset = np.full((3, 1), brightness * (1 - contrast) * grey)
    return np.hstack([brightness * contrast * colours, offset])
