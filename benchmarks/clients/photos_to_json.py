"""What the clients have in common: the arguments they take and the JSON they print.

Runs in each client's own environment, so it needs numpy and nothing of edgenet (Python 3.9 to 3.11).
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
    """One photo's result: the client's own first choice, and a score per class in the labels' order."""

    top1: int
    scores: list[float]


class Client(NamedTuple):
    """A loaded model: the class names as this client sees them, and a photo uint8 [H, W, 3] RGB to scores."""

    labels: Callable[[], list[str]]
    classify: Callable[[np.ndarray], Scores]


def run_client(description: str, client: str, version: str, start: Callable[[bytes], Client]) -> None:
    """Reads the command line, classifies every photo and prints one JSON object.

    Args:
        description: for --help.
        client: name of the client.
        version: its version.
        start: from the bytes of a .tflite to a `Client`. Its labels are asked for after the last photo.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("photos", type=Path, metavar="PHOTOS.npz", help="'images': uint8 [n, H, W, 3], RGB")
    arguments = parser.parse_args()
    images = np.load(arguments.photos)["images"]
    loaded = start(arguments.model.read_bytes())
    results = [loaded.classify(np.ascontiguousarray(image)) for image in images]
    # What came over the wire is compared exactly: JSON keeps every digit of a double.
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
    """The labels.txt in the zip behind the model: what an app without a metadata library would read."""
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        return archive.read("labels.txt").decode().split("\n")[:-1]
