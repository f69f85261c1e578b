"""Batch normalization over the photos of all processes of a training.

Each process works on its share of a batch. If each also normalized its share alone, as torch's data-parallel training
does, the statistics would be those of a small batch: a batch of 32 in 4 processes would train as one of 8. Here the
processes add up their means and variances, so that they train as one process would, up to rounding. Freezing the
statistics instead would only suit pretrained weights. Torch's own `SyncBatchNorm` runs only on GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor
from torch.overrides import TorchFunctionMode

from edgenet.training.processes import ProcessShare


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
