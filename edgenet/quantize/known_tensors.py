"""What is known of a float network's tensors, also after their channels were rotated and equalized.

Reshaping changes every tensor in a known way, so what was seen of the original network tells what the reshaped one
gives. Its photos need not go through every candidate network again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import Graph
from edgenet.quantize.equalize import ChannelChange
from edgenet.quantize.ranges import ChannelStatistics, Range, ranges_of
from edgenet.quantize.rotate import JointStatistics

ROWS = 3_000
"""About the number of positions, over all photos, at which a tensor is sampled."""


def sampled(value: Tensor, photos: int) -> Tensor:
    """Return a tensor's values at evenly spread positions, [rows, C].

    Args:
        value: the tensor for some photos, [n, ..., C].
        photos: the number of photos that give about ROWS positions together.
    """
    if value.ndim != 4:
        return value.reshape(-1, value.shape[-1])
    height, width = value.shape[1:3]
    share = max(1.0, photos * height * width / ROWS)
    down = min(height, max(1, round(math.sqrt(share))))
    right = min(width, max(1, round(share / down)))
    return value[:, ::down, ::right].reshape(-1, value.shape[-1])


class SampledMeans:
    """The mean of every tensor's channels over the first photos, at the positions of `sampled`."""

    def __init__(self, photos: int) -> None:
        self.photos = photos
        self._done: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._totals: dict[str, Tensor] = {}

    def observe(self, name: str, value: Tensor) -> None:
        """Add a tensor's value for more photos, [n, ..., C]."""
        done = self._done.get(name, 0)
        self._done[name] = done + len(value)
        if done >= self.photos:
            return
        rows = sampled(value[: self.photos - done], self.photos)
        total = rows.sum(0, dtype=torch.float64)
        self._totals[name] = self._totals[name] + total if name in self._totals else total
        self._rows[name] = self._rows.get(name, 0) + len(rows)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return the means by tensor name, [C]."""
        return {name: (total / self._rows[name]).numpy() for name, total in self._totals.items()}


@dataclass(frozen=True, eq=False)
class KnownTensors:
    """What some photos show of the original network, and how its tensors were changed since.

    Attributes:
        statistics: of every tensor of the original network.
        joint: the rows that lie furthest out, of the tensors that can be mixed.
        sampled_means: see `SampledMeans`, of the original network.
        changes: by tensor name.
    """

    statistics: Mapping[str, ChannelStatistics]
    joint: JointStatistics
    sampled_means: Mapping[str, NDArray[np.float64]]
    changes: Mapping[str, ChannelChange] = field(default_factory=dict)

    def means(self) -> dict[str, NDArray[np.float64]]:
        """Return the sampled means after the changes, by tensor name, [C]."""
        changes = self.changes
        return {
            name: changes[name].apply(mean) if name in changes else mean
            for name, mean in self.sampled_means.items()
        }

    def ranges(self, graph: Graph) -> dict[str, Range]:
        """Return the range of every tensor after the changes; that of a rotated tensor is that of its furthest rows."""
        ranges = ranges_of(graph, dict(self.statistics))
        for name, change in self.changes.items():
            seen = self.statistics[name]
            ends = np.stack([seen.low, seen.high])
            mixed = change.factors.ndim == 2
            values = change.apply(self.joint.kept_rows(name).astype(np.float64) if mixed else ends)
            ranges[name] = Range(float(values.min()), float(values.max()))
        return ranges
