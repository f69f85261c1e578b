"""Batch normalization of two processes with half a batch each, against one process with all of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from forked_processes import in_two_processes
from torch import Tensor, nn

from edgenet.training.processes import ProcessShare, SynchronizedNorm, join_processes


def a_step(share: ProcessShare, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Run a small network forward and backward over a process's share of 7 photos."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 1), nn.BatchNorm2d(4, momentum=0.3)
    )
    x = 100 + 3 * torch.randn(7, 3, 6, 5) + torch.arange(7.0).reshape(7, 1, 1, 1)
    target = torch.randn(7, 4, 4, 3)
    mine = x[share.rows].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16), SynchronizedNorm(share):
        out = network(mine)
        (out.float() * target[share.rows]).square().sum().backward()
    found = {f"gradient of {name}": p.grad for name, p in network.named_parameters()}
    found |= {name: buffer.float() for name, buffer in network.named_buffers()}
    return {**found, "out": out.detach().float(), "gradient of x": mine.grad}


def save_a_step(folder: Path, dtype: torch.dtype) -> None:
    """Save what this process found of the step."""
    with join_processes(torch.device("cpu")) as here:
        torch.save(a_step(here, dtype), folder / f"{here.process}.pt")


def joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Put the results of two processes together: photos alternate, and gradients of weights add up."""
    whole = {}
    for name, tensor in parts[0].items():
        other = parts[1][name]
        if name in ("out", "gradient of x"):
            both = torch.empty(7, *tensor.shape[1:])
            both[::2], both[1::2] = tensor, other
            whole[name] = both
        elif name.startswith("gradient"):
            whole[name] = tensor + other
        else:
            assert torch.equal(tensor, other), name  # statistics, to the bit
            whole[name] = tensor
    return whole


@pytest.mark.parametrize(
    ("dtype", "close"), [(torch.float32, 1e-3), pytest.param(torch.bfloat16, 0.1, marks=pytest.mark.slow)]
)
def test_two_halves_are_normalized_as_one_batch(tmp_path: Path, dtype: torch.dtype, close: float) -> None:
    """The photos of the two halves differ in brightness by more than they vary within one."""
    in_two_processes(save_a_step, tmp_path, dtype)
    two = joined([torch.load(tmp_path / f"{process}.pt", weights_only=True) for process in (0, 1)])
    one = a_step(ProcessShare(), dtype)
    assert two.keys() == one.keys()
    for name, expected in one.items():
        size = float(expected.abs().max())
        if name in ("gradient of 0.bias", "gradient of 3.bias"):
            continue  # zero but for rounding, because normalization takes every offset away again
        assert float((two[name] - expected).abs().max()) <= close * size + 1e-6, name


def test_alone_it_is_torch_s_own() -> None:
    torch.manual_seed(1)
    norms = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    x = torch.randn(4, 3, 5, 5)
    with SynchronizedNorm(ProcessShare()):
        ours = norms[0](x)
    assert torch.equal(ours, norms[1](x))
    assert torch.equal(norms[0].running_var, norms[1].running_var)


def test_frozen_statistics_need_no_other_process() -> None:
    norm = nn.BatchNorm2d(3).eval()
    x = torch.randn(4, 3, 5, 5)
    with SynchronizedNorm(ProcessShare(0, 2)):  # there is no second process to wait for
        assert torch.equal(norm(x), nn.BatchNorm2d(3).eval()(x))
