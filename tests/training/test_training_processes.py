"""Two processes train as one does."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forked_processes import in_two_processes
from safetensors.torch import load_file
from shape_photos import TINY, every_class, write_photos

from edgenet.errors import EdgenetError
from edgenet.training.processes import ProcessShare, is_first, join_processes
from edgenet.training.starting import fresh_network
from edgenet.workflows.train import TrainingOptions, resume_training, train
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.registry import parse_variant

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
NAME = f"{TINY}.safetensors"


def losses(folder: Path) -> list[float]:
    return [float(row["train_loss"]) for row in csv.DictReader((folder / "log.csv").open())]


def train_tiny(data: Path, out: Path, options: TrainingOptions) -> None:
    train(TINY, data, out, options=options)


def save_refusal(run: Path, folder: Path) -> None:
    """Save the error with which this process does not take the training up again."""
    with pytest.raises(EdgenetError) as refused:
        resume_training(run)
    (folder / f"{os.environ['RANK']}.txt").write_text(str(refused.value))


@pytest.mark.slow
def test_a_frozen_network_s_losses_and_weights_are_those_of_one_process(shapes: Path, tmp_path: Path) -> None:
    """Batch normalization stays as it is there, so nothing depends on how the batch was divided but rounding."""
    network = fresh_network(parse_variant(TINY), ("a", "b", "c"), 0)
    with torch.no_grad():
        for _ in range(10):
            network.module.train()(torch.randn(16, 3, 32, 32))
    save_checkpoint(tmp_path / "start.safetensors", network)
    options = TrainingOptions(pretrained=tmp_path / "start.safetensors", freeze_epochs=2, epochs=2, batch=15)
    train_tiny(shapes, tmp_path / "1", options)
    in_two_processes(train_tiny, shapes, tmp_path / "2", options)
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert two == pytest.approx(one, rel=1e-3)  # dropout is drawn in each process
    assert one[1] != one[0]
    weights = [load_file(tmp_path / name / NAME)["classifier.weight"] for name in ("1", "2")]
    assert torch.allclose(*weights, atol=1e-3)


@pytest.mark.slow
def test_a_whole_network_s_losses_are_near_those_of_one_process(tmp_path: Path) -> None:
    """Batch normalization counts the photos of both processes.

    The learning rate is low, because at higher ones rounding alone soon changes the losses by some percent.
    """
    data = write_photos(tmp_path / "shapes", every_class(40))
    options = TrainingOptions(epochs=3, batch=36, learning_rate=0.001)
    train_tiny(data, tmp_path / "1", options)
    in_two_processes(train_tiny, data, tmp_path / "2", options)
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert two[0] == pytest.approx(one[0], rel=0.003)
    assert two == pytest.approx(one, rel=0.05)
    state = load_file(tmp_path / "2" / NAME)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.slow
def test_of_the_processes_that_torchrun_starts_only_the_first_one_speaks(
    shapes: Path, tmp_path: Path
) -> None:
    command = [*TORCHRUN, "-m", "edgenet", "train", TINY, "--data", str(shapes), "--out", str(tmp_path / "2")]
    said = subprocess.run(
        [*command, "--epochs", "1", "--batch", "54"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    ).stdout
    assert "2 processes" in said
    assert said.count("epoch 1/1") == 1
    state = load_file(tmp_path / "2" / NAME)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.slow
def test_other_processes_than_before(shapes: Path, tmp_path: Path) -> None:
    train_tiny(shapes, tmp_path / "run", TrainingOptions(epochs=1, batch=54))
    in_two_processes(save_refusal, tmp_path / "run", tmp_path)
    for process in (0, 1):
        said = (tmp_path / f"{process}.txt").read_text()
        assert "the training ran in 1 processes, but now there are 2; start it again with" in said


def test_alone_there_is_nothing_to_join() -> None:
    with join_processes(torch.device("cpu"), {}) as share:
        assert share == ProcessShare(0, 1)
    assert is_first({})
    assert not is_first({"RANK": "1"})
