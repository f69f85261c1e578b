"""Copies and other views of a scene are found; different photos are distinguished."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from edgenet_device.frames.photos import read_photo

from edgenet.assets import calibration_photos
from tools.near_duplicates import near_duplicates


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    return [read_photo(path) for path in sorted(calibration_photos().glob("*.jpg"))[::12]]


def _recompressed(photo: np.ndarray) -> np.ndarray:
    return read_photo(bytes(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]))


def _smaller(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(photo, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)


def _brighter(photo: np.ndarray) -> np.ndarray:
    return cv2.convertScaleAbs(photo, alpha=0.8, beta=45)


def _another_view(photo: np.ndarray) -> np.ndarray:
    """A step to the side: shifted by 15 %, turned by 4 degrees, a little closer."""
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 4, 1.15)
    turn[0, 2] += 0.15 * width
    return cv2.warpAffine(photo, turn, (width, height))


@pytest.mark.parametrize("change", [_recompressed, _smaller, _brighter, _another_view])
def test_the_same_scene_is_found(change, photos):
    changed = [change(photo) for photo in photos]
    found = near_duplicates([*photos, *changed])
    assert found == [(i, i + len(photos)) for i in range(len(photos))]


@pytest.mark.slow
def test_featureless_and_tiny_photos_do_not_fail():
    plain = np.full((64, 48, 3), 128, np.uint8)
    assert near_duplicates([plain, plain.copy()]) == [(0, 1)]
    assert near_duplicates([np.zeros((4, 300, 3), np.uint8)]) == []
