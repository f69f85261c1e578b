"""The device that a training computes on. GPUs are only pretended: torch's answers about them are replaced."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from shape_photos import TINY

from edgenet.errors import EdgenetError
from edgenet.training.machine import bfloat16_on, local_device, runs_ahead
from edgenet.workflows import train as workflow
from edgenet.workflows.train import TrainingOptions, resume_training, train


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Make torch believe that the machine has so many CUDA GPUs, and an Apple GPU or not."""

    def pretend(gpus: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"GPU {index}")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: gpus > 0)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    pretend()
    return pretend


def test_auto_takes_cuda_then_mps_then_the_cpu(machine) -> None:
    assert local_device("auto", {}) == torch.device("cpu")
    machine(mps=True)
    assert local_device("auto", {}) == torch.device("mps")
    machine(gpus=2, mps=True)
    assert local_device("auto", {}) == torch.device("cuda:0")
    assert local_device("mps", {}) == torch.device("mps")


def test_a_gpu_for_every_process(machine) -> None:
    machine(gpus=4)
    assert local_device("cuda", {"LOCAL_RANK": "3"}) == torch.device("cuda:3")
    assert local_device("auto", {"LOCAL_RANK": "3"}) == torch.device("cuda:3")
    assert local_device("cuda:1", {"LOCAL_RANK": "3"}) == torch.device("cuda:1")
    assert local_device("cpu", {"LOCAL_RANK": "3"}) == torch.device("cpu")


@pytest.mark.parametrize("name", ["foo", "", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", "mps:0"])
def test_a_name_of_no_device(name: str) -> None:
    with pytest.raises(
        EdgenetError, match=f"^'{name}' is not a device to train on; give auto, cpu, mps, cuda or cuda:N$"
    ):
        local_device(name, {})
    with pytest.raises(EdgenetError, match="is not a device to train on"):
        TrainingOptions(device=name)


def test_what_is_not_there_and_what_is(machine) -> None:
    version = torch.__version__.replace("+", r"\+")
    give = r"; give one of these with --device, or leave it out$"
    with pytest.raises(
        EdgenetError,
        match=rf"^there is no device cuda on this machine \(torch {version} is built without CUDA\); "
        rf"there is only cpu{give}",
    ):
        local_device("cuda", {})
    with pytest.raises(EdgenetError, match=f"no device mps on this machine; there is only cpu{give}"):
        local_device("mps", {})
    machine(gpus=2)
    with pytest.raises(
        EdgenetError,
        match=rf"no device cuda:7 on this machine; there are cuda:0 \(GPU 0\), cuda:1 \(GPU 1\) and cpu{give}",
    ):
        local_device("cuda:7", {})
    machine(mps=True)
    with pytest.raises(EdgenetError, match=f"there are mps and cpu{give}"):
        local_device("cuda:0", {})


def test_too_few_gpus_for_the_processes(machine) -> None:
    machine(gpus=2)
    with pytest.raises(
        EdgenetError,
        match=r"process 3 on this machine needs a CUDA GPU .*; start torchrun with --nproc-per-node 2",
    ):
        local_device("auto", {"LOCAL_RANK": "2", "WORLD_SIZE": "3"})


def test_one_process_on_mps(machine) -> None:
    machine(mps=True)
    with pytest.raises(EdgenetError, match="several processes cannot share the device mps"):
        local_device("auto", {"LOCAL_RANK": "0", "WORLD_SIZE": "2"})


def test_bfloat16_only_where_it_is_and_pays(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(gpus=1, mps=True)
    automatic = {kind: bfloat16_on(torch.device(kind), "auto") for kind in ("cuda", "mps", "cpu")}
    assert automatic == {"cuda": True, "mps": False, "cpu": False}
    assert bfloat16_on(torch.device("cpu"), "bfloat16")
    assert not bfloat16_on(torch.device("cuda"), "float32")
    monkeypatch.setattr(torch.amp, "is_autocast_available", lambda kind: kind != "mps")
    with pytest.raises(EdgenetError, match="torch has no bfloat16 training on mps; give --precision float32"):
        bfloat16_on(torch.device("mps"), "bfloat16")


def test_only_cuda_runs_ahead() -> None:
    assert [runs_ahead(torch.device(kind)) for kind in ("cuda", "mps", "cpu")] == [True, False, False]


def test_nothing_is_made_where_the_device_is_not(machine, shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match="there is no device cuda on this machine"):
        train(TINY, shapes, tmp_path / "run", options=TrainingOptions(device="cuda"))
    assert not (tmp_path / "run").exists()


def test_a_training_continued_where_its_gpu_is_not(
    machine, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainingOptions(device="cuda", epochs=1, batch=30)
    monkeypatch.setattr(workflow, "local_device", lambda name: torch.device("cpu"))
    train(TINY, shapes, tmp_path / "run", options=options)
    monkeypatch.undo()
    with pytest.raises(
        EdgenetError, match=r"there is no device cuda .*; continue on a machine like the first"
    ):
        resume_training(tmp_path / "run")
