"""The handwritten digits that come with edgenet: enough to train with in seconds, without a network connection."""

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
"""Grey levels of the picture between two amounts of ink, so that 16, the most, is nearly white."""
TRAINING = 1347
"""So many train, the first three quarters in the source's order; the others test."""


@dataclass(frozen=True)
class Digits:
    """Attributes:
    images: the ink, 0..16, uint8 [1797, 8, 8].
    labels: which digit each is, int64 [1797].
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def read_digits() -> Digits:
    """The test part of UCI's Optical Recognition of Handwritten Digits; see edgenet/assets/digits.json."""
    folder = files("edgenet.assets")
    labels = json.loads((folder / "digits.json").read_text(encoding="utf-8"))["labels"]
    data = np.frombuffer((folder / "digits.png").read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    tiles = picture.reshape(-1, SIDE, COLUMNS, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    return Digits((tiles[: len(labels)] // STEP).astype(np.uint8), np.array(list(labels), np.int64))


def write_digits(folder: Path) -> None:
    """Writes every digit as a PNG of 8x8 pixels, into class folders in `train` and `test`.

    Raises:
        OSError: it cannot be written.
    """
    digits = read_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        part = folder / ("train" if index < TRAINING else "test") / str(label)
        part.mkdir(parents=True, exist_ok=True)
        (part / f"{index:04}.png").write_bytes(cv2.imencode(".png", image * STEP)[1].tobytes())
