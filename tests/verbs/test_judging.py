"""`select` reports by other photos than it chooses by, and by other scenes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgenet.data.photos import open_photos
from edgenet.workflows.judging import judging_photos

LABELS = ("blocks", "waves")


def picture(label: str, scene: int, frame: int = 0) -> np.ndarray:
    """Return one frame of a scene: coarse blocks, or fine ones; frames of a scene differ in a few pixels of place."""
    rng = np.random.default_rng([LABELS.index(label), scene])
    cells = rng.integers(0, 256, (5, 5, 3) if label == "blocks" else (12, 2, 3)).astype(np.uint8)
    large = cv2.resize(cells, (120, 120), interpolation=cv2.INTER_CUBIC)
    return large[2 * frame : 2 * frame + 100, frame : frame + 100]


def write(folder: Path, label: str, scenes: range, frames: int = 1) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    for scene in scenes:
        for frame in range(frames):
            cv2.imwrite(str(folder / label / f"{scene:02d}-{frame}.png"), picture(label, scene, frame))


def test_the_halves_have_every_class_and_no_scene_in_common(tmp_path: Path) -> None:
    for label in LABELS:
        write(tmp_path, label, range(8), frames=4)
    photos = open_photos(tmp_path)
    found = judging_photos(photos, tmp_path, seed=0)
    assert found.reporting is not None
    sides = [set(found.choosing.names), set(found.reporting.names)]
    assert sides[0] | sides[1] == set(photos.names)
    assert not sides[0] & sides[1]
    scenes = [{name.split("-")[0] for name in side} for side in sides]
    assert not scenes[0] & scenes[1]
    assert set(found.choosing.labels) == set(found.reporting.labels) == {0, 1}
    again, other = (judging_photos(photos, tmp_path, seed) for seed in (0, 1))
    assert again.choosing.names == found.choosing.names != other.choosing.names


@pytest.mark.parametrize("scenes", [1, 2])
def test_too_few_scenes_choose_and_report_nothing(scenes: int, tmp_path: Path) -> None:
    write(tmp_path, "blocks", range(scenes), frames=3)
    write(tmp_path, "waves", range(5))
    found = judging_photos(open_photos(tmp_path), tmp_path, seed=0)
    assert (found.reporting is None) == (scenes == 1)
    assert len(found.choosing) == 8 if scenes == 1 else len(found.choosing) < 11


def test_a_test_folder_reports(tmp_path: Path) -> None:
    for label in LABELS:
        for split, scenes in (("train", range(3)), ("val", range(3, 6)), ("test", range(6, 9))):
            write(tmp_path / split, label, scenes)
    found = judging_photos(open_photos(tmp_path, split="val"), tmp_path, seed=0)
    assert found.reporting is not None
    assert (found.choosing.split, found.reporting.split) == ("val", "test")
    # Without a validation folder, the test folder is both, and halved.
    halved = judging_photos(open_photos(tmp_path, split="test"), tmp_path, seed=0)
    assert halved.reporting is not None
    assert (halved.choosing.split, halved.reporting.split) == ("test", "test")
    assert not set(halved.choosing.names) & set(halved.reporting.names)


def test_a_photo_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    for label in LABELS:
        write(tmp_path, label, range(4))
    (tmp_path / "waves" / "broken.png").write_bytes(b"no picture")
    found = judging_photos(open_photos(tmp_path), tmp_path, seed=0)
    assert found.reporting is not None
    assert "waves/broken.png" not in found.choosing.names + found.reporting.names
