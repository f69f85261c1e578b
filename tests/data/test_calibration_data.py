"""The calibration photos that come with the project: whole, in colour, all different, and with documented licences."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgenet_device.frames.photos import read_photo

from edgenet.data.photos import open_photos
from edgenet.files import sha256
from tools.near_duplicates import near_duplicates

LICENCES = {
    "MIT",
    "BSD-3-Clause",
    "Apache-2.0 AND BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-2.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "LicenseRef-public-domain",
}


@pytest.fixture(scope="module")
def manifest(calibration_folder) -> dict:
    return json.loads((calibration_folder / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pictures(calibration_folder) -> dict[str, np.ndarray]:
    return {path.name: read_photo(path) for path in sorted(calibration_folder.glob("*.jpg"))}


def test_the_manifest_lists_every_photo_and_no_other(manifest, calibration_folder):
    listed = [entry["name"] for entry in manifest["photos"]]
    assert listed == sorted(set(listed))
    assert listed == list(open_photos(calibration_folder).names)
    assert len(listed) >= 64


def test_every_photo_is_the_one_of_the_manifest(manifest, calibration_folder):
    for entry in manifest["photos"]:
        assert sha256(calibration_folder / entry["name"]) == entry["sha256"], entry["name"]


def test_every_photo_has_its_source_and_a_licence_that_lets_it_be_passed_on(manifest, calibration_folder):
    notice = (calibration_folder / "LICENSES.md").read_text(encoding="utf-8")
    for entry in manifest["photos"]:
        source = entry["source"]
        package = manifest["packages"][source["package"]]
        assert package["version"] == source["version"]
        assert package["licence_evidence"]
        assert source["path"]
        assert len(source["sha256"]) == 64
        assert entry["changes"]
        assert entry["licence"] in LICENCES
        assert (
            f" {entry['licence']} " in notice
            or f"[{entry['licence']}]" in notice
            or entry["licence"] in notice
        )
        if entry["licence"].startswith("CC-BY"):  # these ask that the author be named
            assert entry["author"]
            assert f"| {entry['name']} | {entry['author']} |" in notice


def test_photos_fit_a_network_of_224_and_stay_small(pictures, calibration_folder):
    for name, picture in pictures.items():
        assert 224 <= min(picture.shape[:2]) <= 256, name
    assert sum(path.stat().st_size for path in calibration_folder.glob("*.jpg")) < 4_000_000


def test_photos_are_in_colour(pictures):
    for name, picture in pictures.items():
        spread = picture.max(axis=2).astype(int) - picture.min(axis=2)
        assert spread.mean() > 4, name


@pytest.mark.slow
def test_no_two_photos_show_the_same(pictures):
    names = list(pictures)
    assert [(names[i], names[j]) for i, j in near_duplicates(list(pictures.values()))] == []


def test_nothing_else_is_in_the_folder(calibration_folder: Path):
    others = {path.name for path in calibration_folder.iterdir() if path.suffix != ".jpg"}
    assert others == {"manifest.json", "README.md", "LICENSES.md"}
