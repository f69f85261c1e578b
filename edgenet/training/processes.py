"""The processes of a training: how they share each batch, sum their results and normalize, and how a signal stops them.

In data-parallel training each process that `torchrun` started works on its share of every batch. If each also
normalized its share alone, as torch's data-parallel training does, the statistics would be those of a small batch: a
batch of 32 in 4 processes would train as one of 8. Here the processes add up their means and variances, so that they
train as one process would, up to rounding. Freezing the statistics instead would only suit pretrained weights.
Torch's own `SyncBatchNorm` runs only on GPUs.

The first Ctrl-C or `kill` asks the training to stop after its step, the second stops it at once.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor
from torch.overrides import TorchFunctionMode


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


class SynchronizedNorm(TorchFunctionMode):
    """A context manager in which batch normalization in training mode counts the photos of all processes.

    All processes must run the same network in it, forward and then backward. With one process it changes nothing.
    """

    def __init__(self, share: ProcessShare) -> None:
        super().__init__()
        self.share = share

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.batch_norm and self.share.processes > 1:
            return _batch_norm(*args, **(kwargs or {}))
        return function(*args, **(kwargs or {}))


def _batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.batch_norm` does, over all processes."""
    if not training:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    with torch.no_grad():
        count, mean, variance = _statistics(x)
        if running_mean is not None and running_var is not None:
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), momentum)
    return _Normalize.apply(x, weight, bias, count, mean, torch.rsqrt(variance + eps))


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the number of values per channel, their means and their variances, over all processes, float32.

    The variance is put together from those of the processes, as in Chan, Golub and LeVeque, "Algorithms for computing
    the sample variance" (1983), equation 2.1; the mean of squares less the square of the mean would lose digits.
    """
    values = x.float()
    mine = x.numel() // x.shape[1]
    mean = values.mean((0, 2, 3)) if mine else values.new_zeros(x.shape[1])
    squares = (values - mean.reshape(1, -1, 1, 1)).square().sum((0, 2, 3))
    packed = torch.stack([torch.full_like(mean, float(mine)), mean, squares])
    gathered = [torch.empty_like(packed) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, packed)
    counts, means, sums = torch.stack(gathered).unbind(1)
    count = counts.sum(0)
    whole = (counts * means).sum(0) / count
    variance = (sums + counts * (means - whole).square()).sum(0) / count
    return count, whole, variance


class _Normalize(torch.autograd.Function):
    """(x - mean) / deviation * weight + bias, whose gradient knows that mean and deviation depend on all photos."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor, count: Tensor, mean: Tensor, inverse: Tensor
    ) -> Tensor:
        context.save_for_backward(x, weight, count, mean, inverse)
        scale = inverse * weight
        shift = bias - mean * scale
        return (x.float() * _wide(scale) + _wide(shift)).to(x.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, count, mean, inverse = context.saved_tensors
        gradient = gradients[0].float()
        normalized = (x.float() - _wide(mean)) * _wide(inverse)
        # The gradients of weight and bias stay this process's own: they are added up with all others after the step.
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * normalized).sum((0, 2, 3))])
        whole = own.clone()
        dist.all_reduce(whole)
        average, slope = whole / count
        to_x = _wide(weight * inverse) * (gradient - _wide(average) - normalized * _wide(slope))
        return to_x.to(x.dtype), own[1].to(weight.dtype), own[0].to(weight.dtype), None, None, None


def _wide(channels: Tensor) -> Tensor:
    return channels.reshape(1, -1, 1, 1)
