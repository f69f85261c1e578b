"""Variants of photos: closer views and sharper pictures of the same size."""

from __future__ import annotations

import numpy as np
import pytest

from edgenet.quantize.photo_variants import variants
from tests.small_graphs import photos


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_photo_has_one_variant_of_its_size(count: int) -> None:
    images = photos(count, (16, 12))
    made = variants(images)
    assert made.shape == images.shape
    assert made.dtype == np.uint8
    assert all((one != other).any() for one, other in zip(made, images, strict=True))


def test_a_closer_view_is_the_middle_mirrored() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, 12:20, 6:14] = 255  # left of the middle
    made = variants(image)[0, :, :, 0] > 127
    assert made[:, 16:].sum() > 0.9 * made.sum()  # right of it
    assert 2 < made.sum() / (image[0, :, :, 0] > 127).sum() < 3.2  # (8 / 5) squared is 2.56


def test_a_sharper_picture_has_harder_edges_and_the_same_plain_areas() -> None:
    images = np.full((2, 16, 16, 3), 100, np.uint8)
    images[1, :, 8:] = 140
    made = variants(images)[1].astype(int)
    assert (made[:, :6] == 100).all()
    assert (made[:, 10:] == 140).all()
    assert made[:, 8].mean() - made[:, 7].mean() > 60
