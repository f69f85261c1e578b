"""Data-parallel training: processes that `torchrun` started, each with its share of every batch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from edgenet.training.loader import Share


@contextmanager
def joined(device: torch.device, environment: Mapping[str, str] = os.environ) -> Iterator[Share]:
    """Joins the other processes where `torchrun` started this one (gloo between CPUs, nccl between GPUs)."""
    if int(environment.get("WORLD_SIZE", "1")) < 2:
        yield Share()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Share(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process that writes and prints."""
    return environment.get("RANK", "0") == "0"


def local_device(name: str, environment: Mapping[str, str] = os.environ) -> torch.device:
    """The device of this process: "auto" is a GPU where there is one; processes beside each other take one each."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(environment.get("LOCAL_RANK", "0")))
    return device


def sum_over(tensors: Sequence[Tensor], share: Share) -> None:
    """Replaces every tensor by its sum over all processes, in one message.

    Args:
        tensors: float32, on one device, in the same order everywhere.
    """
    if share.processes == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    dist.all_reduce(flat)
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view(tensor.shape))
        start += tensor.numel()


def wait_for_all(share: Share) -> None:
    """Returns when every process is here."""
    if share.processes > 1:
        dist.barrier()
