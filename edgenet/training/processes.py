"""The processes of a training: how they share each batch and sum their results, and how a signal stops them.

In data-parallel training each process that `torchrun` started works on its share of every batch. The first Ctrl-C or
`kill` asks the training to stop after its step, the second stops it at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessShare:
    """The part of every batch that this process works on.

    Attributes:
        process: the number of this process, from 0.
        processes: the number of processes.
    """

    process: int = 0
    processes: int = 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that belong to this process."""
        return slice(self.process, None, self.processes)


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


SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Yield a request that SIGINT and SIGTERM set. The previous signal handlers are restored afterwards.

    Python delivers signals only to the main thread, so in any other thread the request is never set.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request.handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """Remembers whether a signal asked the training to stop."""

    def __init__(self) -> None:
        self.asked = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal: note the first request; raise KeyboardInterrupt at the second."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


class TrainingStopped(KeyboardInterrupt):
    """Raised when a training has stopped on request, after saving its state.

    Attributes:
        found: where the training stopped.
        remedy: how to resume it.
    """

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found
        self.remedy = remedy
