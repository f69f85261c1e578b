"""The rule centre-square, against its own words, and the live path against the simple one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edgenet_device.preprocess import CentreCrop, prepare

from edgenet.errors import EdgenetError

SHAPES = [(480, 640), (640, 480), (224, 224), (100, 301), (671, 900), (672, 900), (1080, 1920), (5, 4)]


def noise(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def in_words(bgr: np.ndarray, size: int) -> np.ndarray:
    """Compute the rule centre-square in another way."""
    height, width = bgr.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = bgr[top : top + side, left : left + side].copy()
    if side >= 3 * size:
        while len(square) >= 2 * size:
            half = len(square) // 2
            blocks = square[: 2 * half, : 2 * half].reshape(half, 2, half, 2, 3).astype(int)
            square = ((blocks.sum((1, 3)) + 2) >> 2).astype(np.uint8)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_LINEAR)[None, ..., ::-1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [224, 160])
def test_rule(shape: tuple[int, int], size: int) -> None:
    bgr = noise(shape)
    rgb = prepare(bgr, size)
    assert rgb.shape == (1, size, size, 3)
    assert rgb.dtype == np.uint8
    # 672 is three times 224: both sides of the threshold are here, and odd sides.
    np.testing.assert_array_equal(rgb, in_words(bgr, size))


def test_no_pixel_is_skipped() -> None:
    """A side of 4 x 8 pixels: every output pixel is the mean of its own block, rounded twice."""
    bgr = noise((32, 32))
    mean = bgr.reshape(8, 4, 8, 4, 3).mean((1, 3))
    assert np.abs(prepare(bgr, 8)[0, ..., ::-1] - mean).max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_live_path_is_bit_equal_and_allocates_no_pixels(shape: tuple[int, int]) -> None:
    live = CentreCrop(shape, 96)
    tensor = np.zeros((1, 96, 96, 3), np.uint8)
    for seed in range(3):
        live.write(noise(shape, seed), tensor[0])
        np.testing.assert_array_equal(tensor, prepare(noise(shape, seed), 96))


def test_wrong_input_is_refused() -> None:
    tensor = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(EdgenetError, match="float32"):
        prepare(np.zeros((9, 9, 3), np.float32), 8)
    with pytest.raises(EdgenetError, match="shape"):
        prepare(np.zeros((9, 9), np.uint8), 8)
    with pytest.raises(EdgenetError, match=r"\[9, 9, 3\]"):
        CentreCrop((10, 10), 8).write(noise((9, 9)), tensor)
    with pytest.raises(EdgenetError, match="input tensor"):
        CentreCrop((10, 10), 8).write(noise((10, 10)), tensor[:, :4])
    with pytest.raises(EdgenetError, match="0x0"):
        prepare(np.zeros((9, 9, 3), np.uint8), 0)
