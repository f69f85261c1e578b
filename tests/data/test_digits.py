"""The digits that come with edgenet: complete, each with its label, and with a documented licence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgenet.assets.digits import TRAINING, mosaic, read_digits, write_digits
from edgenet.data.photos import open_photos
from edgenet.files import sha256

FOLDER = Path(__file__).resolve().parents[2] / "edgenet" / "assets"


def test_record() -> None:
    record = json.loads((FOLDER / "digits.json").read_text(encoding="utf-8"))
    assert record["sha256"] == sha256(FOLDER / "digits.png")
    assert (FOLDER / "digits.png").stat().st_size < 60_000
    assert record["licence"] == "CC-BY-4.0"
    notice = (FOLDER.parents[1] / "NOTICE").read_text(encoding="utf-8")
    assert record["doi"] in notice
    assert record["author"].split(" and ")[0] in notice


def test_every_class_about_equally_often() -> None:
    digits = read_digits()
    assert digits.images.shape == (1797, 8, 8)
    assert digits.images.max() == 16
    counts = np.bincount(digits.labels, minlength=10)
    assert counts.sum() == 1797
    assert counts.min() >= 170
    assert counts.max() <= 185


def test_a_mosaic_is_taken_apart_as_it_was_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = read_digits()
    monkeypatch.setattr("edgenet.assets.digits.cv2.imdecode", lambda *_: mosaic(digits.images[::-1]))
    np.testing.assert_array_equal(read_digits().images, digits.images[::-1])


def test_the_same_as_scikit_learn_has() -> None:
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    theirs, ours = load_digits(), read_digits()
    np.testing.assert_array_equal(ours.images, theirs.images)
    np.testing.assert_array_equal(ours.labels, theirs.target)


def test_written_as_photos(tmp_path: Path) -> None:
    write_digits(tmp_path)
    digits = read_digits()
    training, test = open_photos(tmp_path, split="train"), open_photos(tmp_path, split="test")
    assert (len(training), len(test)) == (TRAINING, 450)
    assert training.class_names == test.class_names == tuple("0123456789")
    index = 17
    number = int(Path(test.names[index]).stem)
    np.testing.assert_array_equal(test.read(index)[:, :, 0] // 15, digits.images[number])
    assert test.labels[index] == digits.labels[number]
