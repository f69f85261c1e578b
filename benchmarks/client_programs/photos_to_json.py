"""The clients' shared part: their arguments and the JSON that they print.

It runs in each client's own environment, so it needs only numpy and nothing of edgenet (Python 3.9 to 3.11).
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Scores(NamedTuple):
    """One photo's result: the client's own first choice, and a score per class in the order of the labels."""

    top1: int
    scores: list[float]


class Client(NamedTuple):
    """A loaded model: `labels` returns the class names that this client reads; `classify` takes RGB uint8 [H, W, 3]."""

    labels: Callable[[], list[str]]
    classify: Callable[[np.ndarray], Scores]


def run_client(description: str, client: str, version: str, start: Callable[[bytes], Client]) -> None:
    """Read the command line, classify every photo and print one JSON object.

    Args:
        description: the text for --help.
        client: name of the client.
        version: version of the client.
        start: makes a `Client` from the bytes of a .tflite. Its labels are read after the last photo.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("photos", type=Path, metavar="PHOTOS.npz", help="'images': uint8 [n, H, W, 3], RGB")
    arguments = parser.parse_args()
    images = np.load(arguments.photos)["images"]
    loaded = start(arguments.model.read_bytes())
    results = [loaded.classify(np.ascontiguousarray(image)) for image in images]
    # The scores are compared exactly: JSON keeps every digit of a double.
    json.dump(
        {
            "client": client,
            "version": version,
            "labels": loaded.labels(),
            "photos": [result._asdict() for result in results],
        },
        sys.stdout,
    )


def labels_in(model: bytes) -> list[str]:
    """Return the labels.txt in the zip behind the model, which an app without a metadata library would read."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return archive.read("labels.txt").decode().split("\n")[:-1]
