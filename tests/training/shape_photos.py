"""Photos that are easy to tell apart: a shape of the class's colour, somewhere, over noise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

CLASSES = {"blue": (230, 60, 40), "green": (50, 210, 60), "red": (50, 40, 220)}
"""BGR, in the order of the folders."""

TINY = "mobilenet_v1_0.25_32"
"""A real network that trains in seconds."""


def shape_photo(name: str, seed: int, side: int = 32) -> bytes:
    """A JPEG of one shape of the class's colour, a little different for every seed."""
    rng = np.random.default_rng([seed, *name.encode()])
    photo = rng.integers(60, 160, (side, side + 4, 3), dtype=np.uint8)
    radius = int(rng.integers(side // 4, side // 3))
    x, y = (int(v) for v in rng.integers(radius, side - radius, 2))
    if rng.random() < 0.5:
        cv2.circle(photo, (x, y), radius, CLASSES[name], -1)
    else:
        cv2.rectangle(photo, (x - radius, y - radius), (x + radius, y + radius), CLASSES[name], -1)
    return bytes(cv2.imencode(".jpg", photo)[1])


def write_photos(root: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """Class folders with so many photos each; `first` is the first seed."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            (root / name / f"{number:04}.jpg").write_bytes(shape_photo(name, number))
    return root


def every_class(count: int) -> dict[str, int]:
    """The same number for every class."""
    return dict.fromkeys(CLASSES, count)
