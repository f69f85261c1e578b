"""What `train` says about the files of its data: an account of every file, and photos that contradict each other."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import edgenet

VARIANT = "mobilenet_v1_0.25_32"


def write_photos(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True)
    chance = np.random.default_rng(seed)
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), chance.integers(0, 256, (40, 40, 3), dtype=np.uint8))


@pytest.mark.parametrize("splits", [("",), ("train", "val", "test")])
def test_every_file_is_accounted_for(splits: tuple[str, ...], tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, split in enumerate(splits):
        for name in ("cat", "dog"):
            write_photos(data / split / name, 4, 10 * number + len(name + split) + (name == "dog"))
    first = data / splits[0]
    (first / "cat" / "broken.jpg").write_bytes(b"no photo")
    (first / "cat" / "clip.mov").write_bytes(b"x")
    (data / "README.md").write_text("x")
    (first / "dog" / "twin.png").write_bytes((first / "cat" / "1.png").read_bytes())
    options = edgenet.TrainingOptions(epochs=1, batch=4)
    result = edgenet.train(VARIANT, data, tmp_path / "run", options=options)
    assert result is not None
    account = result.account
    assert account.read == result.training_photos + result.n
    assert account.read == (9 if splits == ("",) else 17)
    assert [name for name, _ in account.unreadable] == ["cat/broken.jpg"]
    assert account.unused == ({} if splits == ("",) else {"in test": 8})
    assert (account.not_photos, account.ignored) == ({".mov": 1}, {".md": 1})
    assert account.files == account.read + 1 + sum(account.unused.values()) + 2
    twins = [warning for warning in result.warnings if "two labels" in warning]
    (twin,) = twins
    assert "cat/1.png (cat)" in twin
    assert "dog/twin.png (dog)" in twin
