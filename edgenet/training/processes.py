"""Data-parallel training: each process that `torchrun` started works on its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from edgenet.training.loader import ProcessShare


@contextmanager
def join_processes(
    device: torch.device, environment: Mapping[str, str] = os.environ
) -> Iterator[ProcessShare]:
    """Join the process group if `torchrun` started this process, and yield this process's share.

    Without `torchrun` the share is the whole batch. CPUs communicate through gloo, GPUs through nccl.
    """
    if int(environment.get("WORLD_SIZE", "1")) < 2:
        yield ProcessShare()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessShare(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the first process, which alone writes files and prints."""
    return environment.get("RANK", "0") == "0"


def local_device(name: str, environment: Mapping[str, str] = os.environ) -> torch.device:
    """Return the device of this process.

    Args:
        name: "auto" (a GPU if there is one, else the CPU), "cpu", "cuda" or "cuda:N". "auto" and "cuda" give each
            process on this machine a GPU of its own.
        environment: the environment variables that `torchrun` sets.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(environment.get("LOCAL_RANK", "0")))
    return device


def sum_over(tensors: Sequence[Tensor], share: ProcessShare) -> None:
    """Replace every tensor, in place, by its sum over all processes; one message carries them all.

    Args:
        tensors: float32 tensors on one device, in the same order in every process.
        share: this process's share of each batch.
    """
    if share.processes == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view(tensor.shape))
        start += tensor.numel()


def wait_for_all(share: ProcessShare) -> None:
    """Wait until every process has called this function."""
    if share.processes > 1:
        dist.barrier()
