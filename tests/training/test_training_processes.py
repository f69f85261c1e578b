"""Two processes that torchrun starts train as one does."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from shape_photos import TINY, every_class, write_photos

from edgenet.training.processes import ProcessShare, is_first, join_processes
from edgenet.training.starting import fresh_network
from edgenet.zoo.checkpoint import save_checkpoint
from edgenet.zoo.registry import parse_variant

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
NAME = f"{TINY}.safetensors"


def run(processes: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    start = TORCHRUN if processes == 2 else (sys.executable,)
    command = [*start, "-m", "edgenet", "train", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600)


def losses(folder: Path) -> list[float]:
    return [float(row["train_loss"]) for row in csv.DictReader((folder / "log.csv").open())]


@pytest.mark.slow
def test_a_frozen_network_s_losses_and_weights_are_those_of_one_process(tmp_path: Path) -> None:
    """Batch normalization stays as it is there, so nothing depends on how the batch was divided but rounding."""
    data = write_photos(tmp_path / "shapes", every_class(20))
    network = fresh_network(parse_variant(TINY), ("a", "b", "c"), 0)
    with torch.no_grad():
        for _ in range(10):
            network.module.train()(torch.randn(16, 3, 32, 32))
    save_checkpoint(tmp_path / "start.safetensors", network)
    for processes in (1, 2):
        start = ("--pretrained", tmp_path / "start.safetensors", "--freeze-epochs", 2)
        options = ("--data", data, "--out", tmp_path / str(processes), "--epochs", 2, "--batch", 15)
        run(processes, TINY, *start, *options)
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
    options = ("--data", data, "--epochs", 3, "--batch", 36, "--learning-rate", 0.001)
    said = {}
    for processes in (1, 2):
        said[processes] = run(processes, TINY, *options, "--out", tmp_path / str(processes)).stdout
    one, two = losses(tmp_path / "1"), losses(tmp_path / "2")
    assert two[0] == pytest.approx(one[0], rel=0.003)
    assert two == pytest.approx(one, rel=0.05)
    assert "2 processes" in said[2]
    assert said[2].count("epoch 1/3") == 1  # only the first one speaks
    state = load_file(tmp_path / "2" / NAME)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


@pytest.mark.slow
def test_other_processes_than_before(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "shapes", every_class(6))
    run(1, TINY, "--data", data, "--out", tmp_path / "run", "--epochs", 1)
    command = [*TORCHRUN, "-m", "edgenet", "train", "--resume", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode != 0
    assert "the training ran in 1 processes, but now there are 2; start it again with" in done.stderr


def test_alone_there_is_nothing_to_join() -> None:
    with join_processes(torch.device("cpu"), {}) as share:
        assert share == ProcessShare(0, 1)
    assert is_first({})
    assert not is_first({"RANK": "1"})
