"""Two commands that write into one folder at once: the second is refused with one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import Edgenet

from edgenet.files import locked_folder

TINY = "mobilenet_v1_0.25_32"
SMALL = ("--widths", "0.25", "--resolutions", "32", "--recipe", "minmax")
VERBS = {
    "train": ("train", TINY),
    "sweep": ("sweep", *SMALL),
    "select": ("select", *SMALL, "--budget-ms", "1000"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders dark and light, 8 photos each."""
    root = tmp_path_factory.mktemp("photos")
    for name, level in (("dark", 40), ("light", 200)):
        (root / name).mkdir()
        for number in range(8):
            noise = np.random.default_rng([level, number]).integers(-30, 30, (32, 32, 3))
            cv2.imwrite(str(root / name / f"{number}.png"), (level + noise).astype(np.uint8))
    return root


@pytest.mark.parametrize("verb", VERBS)
def test_the_second_is_refused(edgenet: Edgenet, photos: Path, tmp_path: Path, verb: str) -> None:
    with locked_folder(tmp_path):
        edgenet(*VERBS[verb], "--data", photos, "--out", tmp_path, "--epochs", 1).refusal(
            f"is writing into {tmp_path}", "wait until it ends, or give another --out"
        )
        assert [path.name for path in tmp_path.iterdir()] == [".edgenet-lock"]


def test_a_second_resumption_is_refused_and_a_training_leaves_no_lock(
    edgenet: Edgenet, photos: Path, tmp_path: Path
) -> None:
    ran = edgenet("train", TINY, "--data", photos, "--out", tmp_path, "--epochs", 1, "--batch", 8)
    assert ran.status == 0, ran.err
    assert not (tmp_path / ".edgenet-lock").exists()
    with locked_folder(tmp_path):
        edgenet("train", "--resume", tmp_path).refusal(f"is writing into {tmp_path}")
    edgenet("train", TINY, "--data", photos, "--out", tmp_path).refusal("already holds a training")
