"""A GPU that computes while Python goes on. Here the CPU stands in for it: no GPU takes part in these tests."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from shape_photos import TINY

from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.training import loop, step
from edgenet.training.loader import load_epoch
from edgenet.training.photos import read_photos
from edgenet.training.processes import ProcessShare, StopRequest, TrainingStopped
from edgenet.training.recipe import Recipe
from edgenet.workflows.train import TrainingOptions, resume_training, train
from edgenet.workflows.training_result import Training
from edgenet.zoo.classifier import TORCHVISION

OPTIONS = TrainingOptions(epochs=2, batch=6)  # nine steps an epoch


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Treat the CPU as a device that runs ahead, four steps at a time; return how many steps each reading covers."""
    read, load = loop.read_results, loop.load_epoch
    covered: list[int] = []

    def counted(figures: list[torch.Tensor]) -> list:
        covered.append(len(figures))
        return read(figures)

    monkeypatch.setattr(loop, "runs_ahead", lambda device: True)
    monkeypatch.setattr(loop, "READ_EVERY", 4)
    monkeypatch.setattr(loop, "read_results", counted)
    monkeypatch.setattr(loop, "load_epoch", lambda *arguments: load(*arguments[:-1]))  # nothing to pin for
    return covered


@pytest.fixture(scope="module")
def at_once(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training of the CPU as it is, whose results are read after every step."""
    read, covered = loop.read_results, []

    def counted(figures: list[torch.Tensor]) -> list:
        covered.append(len(figures))
        return read(figures)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "read_results", counted)
        trained = train(TINY, shapes, tmp_path_factory.mktemp("at_once") / "run", options=OPTIONS)
    assert covered == [1] * 18
    assert trained is not None
    return trained


@pytest.mark.slow
def test_results_are_read_every_few_steps_and_are_the_same(
    shapes: Path, tmp_path: Path, at_once: Training, ahead: list[int]
) -> None:
    later = train(TINY, shapes, tmp_path / "later", options=OPTIONS)
    assert ahead == [4, 4, 1] * 2
    assert later is not None
    assert Path(later.out).read_bytes() == Path(at_once.out).read_bytes()
    assert [row.train_loss for row in later.epochs] == [row.train_loss for row in at_once.epochs]
    assert [row.train_top1 for row in later.epochs] == [row.train_top1 for row in at_once.epochs]
    assert all(row.computing_s > 0 for row in later.epochs)


def test_a_diverging_training_is_told_with_its_step(
    shapes: Path, tmp_path: Path, ahead: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = loop.train_step

    def diverging(learner: Any, batch: Any, *others: Any) -> torch.Tensor:
        figures = take(learner, batch, *others)
        if batch.step == 5:
            figures[0] = float("nan")
        return figures

    monkeypatch.setattr(loop, "train_step", diverging)
    with pytest.raises(
        EdgenetError, match=r"the loss is nan in epoch 1, step 6: the training diverged; start again"
    ):
        train(TINY, shapes, tmp_path / "run", options=OPTIONS)
    assert ahead == [4, 4]


@pytest.mark.slow
def test_a_stop_takes_effect_when_results_are_read(
    shapes: Path, tmp_path: Path, at_once: Training, ahead: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes read after the same steps, so that they stop after the same one."""
    take = loop.train_step

    def asked_in_step_two(
        learner: Any, batch: Any, settings: Any, epoch: int, rate: float, stop: bool
    ) -> Any:
        return take(learner, batch, settings, epoch, rate, stop or (epoch, batch.step) == (0, 1))

    monkeypatch.setattr(loop, "train_step", asked_in_step_two)
    with pytest.raises(TrainingStopped, match="stopped in epoch 1 of 2, after step 4 of 9"):
        train(TINY, shapes, tmp_path / "run", options=OPTIONS)
    resumed = resume_training(tmp_path / "run")
    assert resumed is not None
    assert Path(resumed.out).read_bytes() == Path(at_once.out).read_bytes()
    assert not StopRequest().asked


def test_constants_are_copied_once_and_normalize_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.randint(0, 256, (2, 3, 4, 4)).float()
    expected = TORCHVISION(pixels)
    assert torch.equal(step.normalize(pixels, TORCHVISION), expected)
    monkeypatch.setattr(step, "runs_ahead", lambda device: True)
    assert torch.equal(step.normalize(pixels, TORCHVISION), expected)
    monkeypatch.setattr(torch, "tensor", None)  # a second copy would fail
    assert torch.equal(step.normalize(pixels, TORCHVISION), expected)


def test_photos_for_a_gpu_lie_in_pinned_memory(shapes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without CUDA nothing can be pinned: both ways of asking for it are recorded instead."""
    empty, pinned = torch.empty, []

    def recorded(*size: Any, pin_memory: bool = False, **more: Any) -> torch.Tensor:
        pinned.append(pin_memory)
        return empty(*size, **more)

    monkeypatch.setattr(torch, "empty", recorded)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(True) or tensor)
    photos = read_photos(open_photos(shapes), 32, 10**9)
    for wanted, expected in ((True, [True, True]), (False, [False])):
        pinned.clear()
        with closing(load_epoch(photos, Recipe(batch=60), 0, 32, 0, ProcessShare(), wanted)) as batches:
            next(batches)
            assert pinned == expected
