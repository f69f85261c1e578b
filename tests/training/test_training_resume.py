"""A training that was stopped at any point resumes and gives the same bytes."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from forked_processes import in_a_process
from recipe_options import options_from
from shape_photos import TINY, write_photos

from edgenet.errors import EdgenetError
from edgenet.training import loop
from edgenet.training.processes import TrainingStopped
from edgenet.training.recipe import Augmentation, Recipe
from edgenet.training.state import STATE_FILE, load_state
from edgenet.workflows.train import resume_training, train

RECIPE = Recipe(
    epochs=3, batch=10, freeze_epochs=1, balance=True, augmentation=Augmentation(mixup=0.2), seed=4
)
NAME = f"{TINY}.safetensors"


@pytest.fixture(scope="module")
def uninterrupted(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training that was never stopped."""
    out = tmp_path_factory.mktemp("uninterrupted") / "run"
    train(TINY, shapes, out, options=options_from(RECIPE))
    return out


def interrupt_at(photos: int) -> Callable[[str, int, int | None], None]:
    """Return a progress function that sends Ctrl-C once this many photos were trained with."""
    sent: list[int] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "training" and done >= photos and not sent:
            sent.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    return progress


def columns(log: Path, *without: str) -> list[dict[str, str]]:
    import csv

    rows = list(csv.DictReader(log.open()))
    return [{name: value for name, value in row.items() if name not in without} for row in rows]


def assert_same(out: Path, uninterrupted: Path) -> None:
    """Everything but what was measured is as if the training had never been stopped."""
    assert (out / NAME).read_bytes() == (uninterrupted / NAME).read_bytes()
    measured = ("photos_per_s", "waiting_s", "computing_s", "validating_s")
    assert columns(out / "log.csv", *measured) == columns(uninterrupted / "log.csv", *measured)
    assert (out / "classes.csv").read_bytes() == (uninterrupted / "classes.csv").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("photos", [10, 54, 100], ids=["first step", "end of the epoch", "second epoch"])
def test_ctrl_c_saves_says_how_to_go_on_and_changes_nothing(
    shapes: Path, tmp_path: Path, uninterrupted: Path, photos: int
) -> None:
    out, before = tmp_path / "run", signal.getsignal(signal.SIGINT)
    with pytest.raises(TrainingStopped) as stopped:
        train(TINY, shapes, out, options=options_from(RECIPE), progress=interrupt_at(photos))
    assert stopped.value.remedy == f"continue with: edgenet train --resume {out}"
    assert "stopped in epoch" in stopped.value.found
    assert signal.getsignal(signal.SIGINT) is before
    result = resume_training(out)
    assert result is not None
    assert_same(out, uninterrupted)


def test_a_state_in_the_middle_of_an_epoch_is_saved_now_and_then(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    steps: list[tuple[int, int]] = []

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "training" and (tmp_path / "run" / STATE_FILE).exists():
            position = load_state(tmp_path / "run").position
            steps.append((position.epoch, position.step))

    train(
        TINY,
        shapes,
        tmp_path / "run",
        options=options_from(dataclasses.replace(RECIPE, epochs=1)),
        progress=progress,
    )
    assert steps == [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)]


def test_a_finished_training_taken_up_again_stays_as_it_is(uninterrupted: Path, tmp_path: Path) -> None:
    again = Path(shutil.copytree(uninterrupted, tmp_path / "run"))
    (again / "curve.png").unlink()
    assert resume_training(again) is not None
    assert (again / NAME).read_bytes() == (uninterrupted / NAME).read_bytes()
    assert (again / "curve.png").read_bytes() == (uninterrupted / "curve.png").read_bytes()


def test_other_classes(uninterrupted: Path, shapes: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    (other / "green").rename(other / "violet")
    with pytest.raises(
        EdgenetError,
        match=r"classes in .* are not those of the training: violet is new; green is gone; give the same class",
    ):
        resume_training(uninterrupted, data=other)


@pytest.mark.parametrize("change", ["one more", "swapped classes"])
def test_other_photos(uninterrupted: Path, shapes: Path, tmp_path: Path, change: str) -> None:
    other = Path(shutil.copytree(shapes, tmp_path / "shapes"))
    if change == "one more":
        write_photos(other, {"red": 1}, first=700)
    else:
        red, blue = other / "red" / "0001.jpg", other / "blue" / "0001.jpg"
        data = red.read_bytes()
        red.write_bytes(blue.read_bytes())
        blue.write_bytes(data)
    with pytest.raises(EdgenetError, match=r"photos in .* are not those that the training started with"):
        resume_training(uninterrupted, data=other)


def test_photos_that_were_moved(shapes: Path, uninterrupted: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(shapes, tmp_path / "elsewhere"))
    assert resume_training(Path(shutil.copytree(uninterrupted, tmp_path / "run")), data=moved) is not None


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"holds no training to resume \(no state.safetensors\)"):
        resume_training(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "another file"])
def test_a_damaged_state(uninterrupted: Path, tmp_path: Path, damage: str) -> None:
    data = (uninterrupted / STATE_FILE).read_bytes()
    damaged = {"cut": data[:-100], "empty": b"", "another file": (uninterrupted / NAME).read_bytes()}[damage]
    (tmp_path / STATE_FILE).write_bytes(damaged)
    with pytest.raises(EdgenetError, match=r"state.safetensors is damaged .*; start the training again"):
        resume_training(tmp_path)


def train_until_killed(data: Path, out: Path, photos: int) -> None:
    """Train, and be killed in the middle of an epoch, once this many photos were trained with."""

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "training" and done >= photos:
            os.kill(os.getpid(), signal.SIGKILL)

    train(TINY, data, out, options=options_from(RECIPE), progress=progress)


def resume_until_killed(out: Path) -> None:
    """Resume, and be killed at the end of an epoch, when its network and log are written and its state is not."""

    def killed(*given: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    loop.save_state = killed
    resume_training(out)


@pytest.mark.slow
def test_kill_9_changes_nothing(shapes: Path, tmp_path: Path, uninterrupted: Path) -> None:
    """A training in a process of its own, which is killed, and so is the process that resumes it."""
    out, lines = tmp_path / "run", []
    assert in_a_process(train_until_killed, shapes, out, 70) == -signal.SIGKILL
    assert load_state(out).position.epoch == 1
    assert in_a_process(resume_until_killed, out) == -signal.SIGKILL
    assert load_state(out).position.epoch == 1
    assert len(columns(out / "log.csv")) == 2
    assert resume_training(out, log=lines.append) is not None
    assert any("continues in epoch 2 after step 0" in line for line in lines)
    assert_same(out, uninterrupted)
