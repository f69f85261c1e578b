"""`edgenet train --review` as a user has it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Edgenet


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Class folders bolt, with two photos, and nut, with one, and `review.json`, which moves that one."""
    folder = tmp_path / "photos"
    for seed, name in enumerate(("bolt/1.png", "bolt/2.png", "nut/1.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8))
    content = hashlib.sha256((folder / "nut" / "1.png").read_bytes()).hexdigest()
    move = {"file": "nut/1.png", "sha256": content, "class": "nut", "action": "move", "to": "bolt"}
    review = {"format": "edgenet.review.v1", "data": "photos", "decisions": [move]}
    (tmp_path / "review.json").write_text(json.dumps(review))
    return folder


def test_each_move_is_printed(edgenet: Edgenet, photos: Path) -> None:
    review = photos.parent / "review.json"
    ran = edgenet("train", "--review", review, "--data", photos)
    assert ran.status == 0, ran.err
    assert ran.out.splitlines() == ["moved nut/1.png to bolt/1 from nut.png", "1 moved, 0 set aside"]
    assert "nut has no photos left" in ran.err
    assert (photos / "bolt" / "1 from nut.png").is_file()


def test_a_list_moves_nothing_and_needs_no_photos(edgenet: Edgenet, photos: Path) -> None:
    review, listed = photos.parent / "review.json", photos.parent / "list.csv"
    result = edgenet("train", "--review", review, "--list", listed, "--json").json()
    assert result["listed"] == str(listed)
    assert (photos / "nut" / "1.png").is_file()
    assert listed.read_text().splitlines()[0] == "file,label,action,new_label,sha256"


def test_a_changed_photo_is_one_line(edgenet: Edgenet, photos: Path) -> None:
    (photos / "nut" / "1.png").write_bytes((photos / "bolt" / "1.png").read_bytes())
    edgenet("train", "--review", photos.parent / "review.json", "--data", photos).refusal(
        "nut/1.png was changed after the page was made"
    )


@pytest.mark.parametrize(
    "extra",
    [("--out", "run"), ("mobilenet_v2_1.0_96",), ("--epochs", "3"), ("--resume", "run"), ("--qat",)],
)
def test_options_of_training_are_a_usage_error(
    edgenet: Edgenet, photos: Path, extra: tuple[str, ...]
) -> None:
    ran = edgenet("train", "--review", photos.parent / "review.json", "--data", photos, *extra)
    assert ran.status == 2
    assert (photos / "nut" / "1.png").is_file()


def test_what_is_missing_is_a_usage_error(edgenet: Edgenet, photos: Path) -> None:
    assert edgenet("train", "--review", photos.parent / "review.json").status == 2
    assert edgenet("train", "--list", "list.csv").status == 2
