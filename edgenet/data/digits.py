"""The handwritten digits that come with edgenet: a network trains on them in seconds, without a network connection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 8
COLUMNS = 45
STEP = 15
"""Grey levels per unit of ink. The most ink, 16 units, is then nearly white (240 of 255)."""
TRAINING = 1347
"""The number of training digits: the first three quarters in the source's order. The others are for testing."""


@dataclass(frozen=True)
class Digits:
    """The handwritten digits.

    Attributes:
        images: the amount of ink in each pixel, 0..16, uint8 [1797, 8, 8].
        labels: the digit that each image shows, int64 [1797].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_digits() -> Digits:
    """Return the test part of UCI's Optical Recognition of Handwritten Digits; see edgenet/assets/digits.json."""
    folder = files("edgenet.assets")
    labels = json.loads((folder / "digits.json").read_text(encoding="utf-8"))["labels"]
    data = np.frombuffer((folder / "digits.png").read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    tiles = picture.reshape(-1, SIDE, COLUMNS, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    return Digits((tiles[: len(labels)] // STEP).astype(np.uint8), np.array(list(labels), np.int64))


def write_digits(folder: Path) -> None:
    """Write every digit as a PNG of 8x8 pixels into class folders in `train` and `test`.

    Raises:
        OSError: a file cannot be written.
    """
    digits = read_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        part = folder / ("train" if index < TRAINING else "test") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{index:04}.png").write_bytes(cv2.imencode(".png", image * STEP)[1].tobytes())
