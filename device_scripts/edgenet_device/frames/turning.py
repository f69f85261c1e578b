"""Turns, mirrors and cuts the pictures of a source, as a `View` says."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from edgenet_device.frames import Frame
from edgenet_device.frames.view import View

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"h": 1, "v": 0}


def turned_frames(frames: Iterator[Frame], view: View) -> Iterator[Frame]:
    """Return the frames with their pictures as the view says; the same iterator where it changes none."""
    if not view.rotate and view.flip is None and view.region is None:
        return frames
    return _turned(frames, view)


def _turned(frames: Iterator[Frame], view: View) -> Iterator[Frame]:
    try:
        for frame in frames:
            small = None if frame.small is None else turned(frame.small, view)
            yield frame._replace(pixels=turned(frame.pixels, view), small=small)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:  # the iterator of a list has nothing to release
            close()


def turned(pixels: np.ndarray, view: View) -> np.ndarray:
    """Return a picture as the view says: turned, then mirrored, then cut.

    Args:
        pixels: uint8 [height, width, 3].
    """
    if view.rotate:
        pixels = cv2.rotate(pixels, _TURNS[view.rotate])
    if view.flip is not None:
        pixels = cv2.flip(pixels, _FLIPS[view.flip])
    return pixels if view.region is None else _cut(pixels, view.region)


def _cut(pixels: np.ndarray, region: tuple[float, float, float, float]) -> np.ndarray:
    """Return the region of a picture; it has at least one pixel."""
    height, width = pixels.shape[:2]
    left, right = _span(region[0], region[2], width)
    top, bottom = _span(region[1], region[3], height)
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _span(start: float, share: float, length: int) -> tuple[int, int]:
    first = min(round(start * length), length - 1)
    return first, max(first + 1, min(round((start + share) * length), length))
