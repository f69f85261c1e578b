"""The demo's training, whole: it learns, int8 keeps what it learned, and it can be repeated in the same folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgenet.bundle import open_bundle
from edgenet.errors import EdgenetError
from edgenet.workflows import demo as workflow
from edgenet.workflows.train import TrainingOptions


@pytest.mark.slow
def test_it_learns_the_digits(tmp_path: Path) -> None:
    made = workflow.digits_demo(tmp_path)
    assert (made.training_photos, made.n) == (1347, 450)
    assert made.float_top1 > 80
    assert made.int8_top1 > made.float_top1 - 3
    assert all(Path(name).is_file() for name in made.files)
    bundle = open_bundle(Path(made.files[-1]))
    assert bundle.manifest.name == workflow.TRAINED
    assert bundle.labels == tuple("0123456789")


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits")
def test_again_in_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workflow, "RECIPE", TrainingOptions(epochs=1, batch=128))
    first = workflow.digits_demo(tmp_path)
    assert workflow.digits_demo(tmp_path).float_top1 == first.float_top1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / workflow.FOLDER).write_bytes(b"")
    with pytest.raises(EdgenetError, match=r"cannot write into the folder .*digits: .*; give another one"):
        workflow.digits_demo(tmp_path)


@pytest.mark.usefixtures("few_digits")
def test_a_photo_of_ones_own_is_kept_and_reported(tmp_path: Path) -> None:
    own = tmp_path / workflow.FOLDER / "photos" / "train" / "3" / "mine.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(
        EdgenetError, match=r"holds a file that the demo did not write: train/3/mine.png; move it"
    ):
        workflow.digits_demo(tmp_path)
    assert own.read_bytes() == b"mine"
