"""Rebuilds digits.png and digits.json from scikit-learn's copy of the digits; a tool for developers.

python -m edgenet.assets.collect_digits    # needs `pip install scikit-learn`, which edgenet does not
"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenet.data.digits import COLUMNS, SIDE, STEP
from edgenet.files import sha256

HERE = Path(__file__).resolve().parent


def mosaic(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Arrange the digits [n, 8, 8] in rows of `COLUMNS` as one grey picture, padded with black."""
    rows = -(-len(images) // COLUMNS)
    padded = np.zeros((rows * COLUMNS, SIDE, SIDE), np.uint8)
    padded[: len(images)] = images * STEP
    tiles = padded.reshape(rows, COLUMNS, SIDE, SIDE).transpose(0, 2, 1, 3)
    return tiles.reshape(rows * SIDE, COLUMNS * SIDE)


def main() -> None:
    """Write both files."""
    import sklearn
    from sklearn.datasets import load_digits

    digits = load_digits()
    picture = mosaic(digits.images.astype(np.uint8))
    data = bytes(cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1])
    (HERE / "digits.png").write_bytes(data)
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
    (HERE / "digits.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
