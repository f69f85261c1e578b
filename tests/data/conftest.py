"""Photos for the tests of this folder: small JPEG files, each with its own colours."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

MakePhoto = Callable[[int], bytes]


@pytest.fixture(scope="session")
def photo() -> MakePhoto:
    """`photo(7)` is the JPEG file of a 48x40 picture, always the same for 7 and different for every number."""

    def make(seed: int) -> bytes:
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        return bytes(cv2.imencode(".jpg", cv2.resize(coarse, (48, 40)))[1])

    return make


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes files by name into a new folder and returns it."""

    def make(files: dict[str, bytes]) -> Path:
        root = tmp_path / "tree"
        for name, data in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return root

    return make


@pytest.fixture
def zipped(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes files by name into a new zip and returns its path."""

    def make(files: dict[str, bytes]) -> Path:
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path

    return make


@pytest.fixture(scope="session")
def calibration_folder() -> Path:
    """The photos that come with the project."""
    return Path(__file__).resolve().parents[2] / "calibration_data"
