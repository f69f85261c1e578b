"""The handwritten digits that come with edgenet: a network trains on them in seconds, without a network connection.

Run as a program, this file rebuilds digits.png and digits.json from scikit-learn's copy of the digits. Only developers
need that, and only they need scikit-learn:

    python -m edgenet.assets.digits
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.foreign_text import read_json
from numpy.typing import NDArray

from edgenet.files import sha256

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
    labels = read_json((folder / "digits.json").read_bytes())["labels"]
    data = np.frombuffer((folder / "digits.png").read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    tiles = picture.reshape(-1, SIDE, COLUMNS, SIDE).transpose(0, 2, 1, 3).reshape(-1, SIDE, SIDE)
    return Digits((tiles[: len(labels)] // STEP).astype(np.uint8), np.array(list(labels), np.int64))


def write_digits(folder: Path) -> list[Path]:
    """Write every digit as a PNG of 8x8 pixels into class folders in `train` and `test`; return the files.

    Raises:
        OSError: a file cannot be written.
    """
    digits, written = read_digits(), []
    for part in ("train", "test"):
        for label in range(10):
            (folder / part / str(label)).mkdir(parents=True, exist_ok=True)
    for index, (image, label) in enumerate(zip(digits.images, digits.labels, strict=True)):
        written.append(folder / ("train" if index < TRAINING else "test") / str(label) / f"{index:04}.png")
        written[-1].write_bytes(cv2.imencode(".png", image * STEP)[1].tobytes())
    return written


def main() -> None:
    """Rebuild digits.png and digits.json from scikit-learn's copy of the digits."""
    import sklearn
    from sklearn.datasets import load_digits

    folder, digits = Path(__file__).resolve().parent, load_digits()
    picture = mosaic(digits.images.astype(np.uint8))
    data = bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    (folder / "digits.png").write_bytes(data)
    record = {
        "name": "digits.png",
        "sha256": sha256(data),
        "content": f"{len(digits.images)} handwritten digits of 8x8 pixels, {COLUMNS} a row, in the source's order",
        "changes": f"gathered in one picture, ink 0..16 times {STEP} as grey levels",
        "title": "Optical Recognition of Handwritten Digits, test part",
        "author": "E. Alpaydin and C. Kaynak",
        "address": "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        "doi": "10.24432/C50P49",
        "licence": "CC-BY-4.0",
        "licence_evidence": "the address above; the text is at https://creativecommons.org/licenses/by/4.0/legalcode",
        "source": {
            "registry": "pypi",
            "package": "scikit-learn",
            "version": sklearn.__version__,
            "path": "sklearn/datasets/data/digits.csv.gz",
            "sha256": sha256(Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"),
        },
        "labels": "".join(map(str, digits.target)),
    }
    (folder / "digits.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def mosaic(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Arrange the digits [n, 8, 8] in rows of `COLUMNS` as one grey picture, padded with black."""
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)
    padded[: len(images)] = images * STEP
    tiles = padded.reshape(rows, COLUMNS, SIDE, SIDE).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * SIDE, COLUMNS * SIDE)


if __name__ == "__main__":
    main()
