"""What every channel of every tensor does on the calibration photos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.progress import Progress, silent

BATCH = 4


@dataclass(frozen=True, eq=False)
class ChannelStatistics:
    """Float64 arrays [C] over all photos and positions: smallest, largest, mean, and mean square."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    mean: NDArray[np.float64]
    square: NDArray[np.float64]

    def moved(self, shift: NDArray[np.float64], factor: NDArray[np.float64]) -> ChannelStatistics:
        """The statistics of (x - shift) * factor, with factors above zero."""
        square = (self.square - 2 * shift * self.mean + shift**2) * factor**2
        low, high, mean = ((end - shift) * factor for end in (self.low, self.high, self.mean))
        return ChannelStatistics(low, high, mean, square)


class _Running:
    """Statistics of one tensor as photos come in."""

    def __init__(self, value: Tensor) -> None:
        channels = value.shape[-1]
        self.low, self.high = torch.full((channels,), torch.inf), torch.full((channels,), -torch.inf)
        self.total = torch.zeros(channels, dtype=torch.float64)
        self.squares = torch.zeros(channels, dtype=torch.float64)
        self.count = 0

    def add(self, value: Tensor) -> None:
        """Takes in the tensor of some more photos, [n, ..., C]."""
        rows = value.reshape(-1, value.shape[-1])
        low, high = rows.aminmax(dim=0)
        self.low, self.high = torch.minimum(self.low, low), torch.maximum(self.high, high)
        self.total += rows.sum(dim=0)
        self.squares += (rows * rows).sum(dim=0)
        self.count += len(rows)

    def finished(self) -> ChannelStatistics:
        mean, square = self.total / self.count, self.squares / self.count
        low, high = self.low.double(), self.high.double()
        return ChannelStatistics(low.numpy(), high.numpy(), mean.numpy(), square.numpy())


def channel_statistics(
    graph: Graph, images: NDArray[np.uint8], progress: Progress = silent
) -> dict[str, ChannelStatistics]:
    """One float pass over the photos.

    Args:
        graph: float.
        images: uint8 RGB [n, H, W, 3].

    Returns:
        The statistics of every tensor, by name; channels are the last axis.
    """
    running: dict[str, _Running] = {}

    def observe(name: str, value: Tensor) -> None:
        if name not in running:
            running[name] = _Running(value)
        running[name].add(value)

    for start in range(0, len(images), BATCH):
        batch = images[start : start + BATCH]
        run(graph, batch, BATCH, observe)
        progress("observing tensors", start + len(batch), len(images))
    return {name: tensor.finished() for name, tensor in running.items()}
