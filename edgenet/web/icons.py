"""The icon of edgenet's pages, drawn from one list of rounded rectangles: as SVG, and as PNG of any size.

It shows a camera's viewfinder around three bars, which stand for the scores of the best classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

_GRID = 100
"""The shapes' units along each side of the icon."""


@dataclass(frozen=True)
class _Shape:
    """A rounded rectangle: its left, top, width, height and radius in units of the grid, and its colour."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    colour: str


_GROUND, _FRAME, _BEST, _OTHER = "#14181e", "#f0f2f5", "#48c8b2", "#7d93a4"
_CORNERS = tuple(
    shape
    for x, y in ((22, 22), (73, 22), (22, 73), (73, 73))
    for shape in (
        _Shape(x if x < 50 else x - 11, y, 16, 5, 2.5, _FRAME),
        _Shape(x, y if y < 50 else y - 11, 5, 16, 2.5, _FRAME),
    )
)
_BARS = (
    _Shape(34, 35, 34, 7, 3.5, _BEST),
    _Shape(34, 47, 22, 7, 3.5, _OTHER),
    _Shape(34, 59, 13, 7, 3.5, _OTHER),
)


def _shapes(maskable: bool) -> tuple[_Shape, ...]:
    """Return the shapes, the lowest first; a maskable icon fills its square, and the phone cuts its corners off."""
    return (_Shape(0, 0, _GRID, _GRID, 0 if maskable else 22, _GROUND), *_CORNERS, *_BARS)


@cache
def icon_svg() -> bytes:
    """Return the icon as SVG."""
    rectangles = "".join(
        f'<rect x="{one.x:g}" y="{one.y:g}" width="{one.width:g}" height="{one.height:g}" rx="{one.radius:g}" '
        f'fill="{one.colour}"/>'
        for one in _shapes(maskable=False)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_GRID} {_GRID}">{rectangles}</svg>\n'.encode()
    )


@cache
def icon_png(side: int, maskable: bool = False) -> bytes:
    """Return the icon as PNG.

    Args:
        side: width and height, pixels.
        maskable: fill the whole square. Everything that matters lies in the central 80 % of the picture, which
            phones never cut off.
    """
    ground, *others = _shapes(maskable)
    picture = np.empty((side, side, 4))  # blue, green, red, opacity; each 0 to 1
    picture[..., :3] = _bgr(ground.colour)
    picture[..., 3] = _coverage(ground, side)
    for shape in others:
        picture[..., :3] += _coverage(shape, side)[..., None] * (_bgr(shape.colour) - picture[..., :3])
    return cv2.imencode(".png", np.rint(255 * picture).astype(np.uint8))[1].tobytes()


def _coverage(shape: _Shape, side: int) -> np.ndarray:
    """Return the share of each pixel, 0 to 1, that the shape covers: [side, side]."""
    unit = side / _GRID
    centres = (np.arange(side) + 0.5) / unit
    # How far a pixel lies outside the rectangle of the corners' centres, along each axis (negative: inside).
    x = np.abs(centres - shape.x - shape.width / 2) - (shape.width / 2 - shape.radius)
    y = np.abs(centres - shape.y - shape.height / 2) - (shape.height / 2 - shape.radius)
    outside = np.hypot(np.maximum(x, 0)[None, :], np.maximum(y, 0)[:, None])
    inside = np.minimum(np.maximum(x[None, :], y[:, None]), 0)
    return np.clip(0.5 - unit * (outside + inside - shape.radius), 0, 1)


def _bgr(colour: str) -> np.ndarray:
    """Return blue, green and red, each 0 to 1, of a colour such as "#14181e"."""
    return np.array([int(colour[at : at + 2], 16) for at in (5, 3, 1)]) / 255
