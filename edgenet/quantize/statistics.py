"""Collect statistics of every channel of every tensor on the calibration photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import Observer, run
from edgenet.graph.ir import Graph
from edgenet.progress import Progress, silent

BATCH = 2
"""Number of photos that go through the network at once. It is small because their activations take most of a
conversion's memory."""
TINY = 1e-9


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Statistics of one tensor's channels over all photos and positions, each a float64 array [C].

    Attributes:
        low, high: smallest and largest value.
        mean, square: mean and mean square.
        tail: tail index; it tells how far other photos may go beyond `high`. A maximum over e times as many
            photos is expected to be exp(tail) times larger. It is estimated by Hill's estimator (1975): the
            mean logarithm of the ratio between the largest per-photo maxima and the next largest one.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    square: NDArray[np.float64]
    tail: NDArray[np.float64]


class _Running:
    """Running statistics of one tensor, updated photo by photo."""

    def __init__(self, value: Tensor) -> None:
        channels = value.shape[-1]
        self.low, self.high = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
        self.total = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)
        self.maxima: list[Tensor] = []
        self.count = 0

    def add(self, value: Tensor) -> None:
        """Add the tensor's value for some more photos, [n, ..., C]."""
        rows = value.reshape(-1, value.shape[-1])
        self.maxima.append(value.reshape(len(value), -1, value.shape[-1]).amax(dim=1))
        low, high = rows.aminmax(dim=0)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.total += rows.sum(dim=0)
        self.squares += (rows * rows).sum(dim=0)
        self.count += len(rows)

    def finished(self) -> ChannelStatistics:
        mean, square = self.total / self.count, self.squares / self.count
        low, high = self.low.double(), self.high.double()
        tail = tail_index(torch.cat(self.maxima).double().numpy())
        return ChannelStatistics(low.numpy(), high.numpy(), mean.numpy(), square.numpy(), tail)


def tail_index(maxima: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the tail index [C] of per-photo maxima [n, C], by Hill's estimator on their largest seventh.

    It is 0 for channels that never fire, and if there are too few photos.
    """
    finite = np.nan_to_num(maxima, posinf=0.0)  # the -inf padding of max pooling has no tail
    ordered = np.sort(np.maximum(finite, TINY), axis=0)[::-1]
    count = max(1, len(ordered) // 7)
    if len(ordered) <= count:
        return np.zeros(ordered.shape[1])  # one photo says nothing about other photos
    return np.asarray(np.log(ordered[:count] / ordered[count]).mean(axis=0))


def channel_statistics(
    graph: Graph, images: NDArray[np.uint8], progress: Progress = silent, also: Observer | None = None
) -> dict[str, ChannelStatistics]:
    """Run the float graph over the photos once, and return the statistics of every tensor.

    Args:
        graph: a float graph.
        images: uint8 RGB [n, H, W, 3].
        progress: called after each batch.
        also: called with the name and value of every tensor in the same pass.

    Returns:
        The statistics by tensor name; channels are the last axis.
    """
    running: dict[str, _Running] = {}

    def observe(name: str, value: Tensor) -> None:
        if name not in running:
            running[name] = _Running(value)
        running[name].add(value)
        if also:
            also(name, value)

    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        run(graph, batch, BATCH, observe)
        progress("observing tensors", start + len(batch), len(images))
    return {name: tensor.finished() for name, tensor in running.items()}
