"""Compute second moments of a layer's input values, in blocks that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from edgenet.graph.operators import DepthwiseConv2D, Weighted
from edgenet.quantize.rounding import together


def second_moments(operator: Weighted, rows: list[Tensor]) -> Tensor | list[Tensor]:
    """Return second moments about the mean; bias correction takes care of the mean's part.

    Args:
        operator: the layer.
        rows: the values that the weights are multiplied with, each part from some photos: [rows, K], or
            [rows, K, C] for a depthwise convolution.

    Returns:
        [C, K, K] for a depthwise convolution, else the blocks along the diagonal of the [K, K] matrix.
    """
    if isinstance(operator, DepthwiseConv2D):
        return _depthwise_moments(rows)
    ends = np.cumsum([0, *together(rows[0].shape[1])])
    parts = (slice(start, end) for start, end in pairwise(ends))
    return [_mixing_moments([chunk[:, part] for chunk in rows]) for part in parts]


def mean_of(rows: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return the mean over an axis of an array that is given in parts along that axis."""
    count = sum(part.shape[axis] for part in rows)
    return torch.stack([part.sum(axis) for part in rows]).sum(0, dtype=torch.float64) / count


def _mixing_moments(rows: list[Tensor]) -> Tensor:
    mean = mean_of(rows)
    product = torch.stack([part.T @ part for part in lumps(rows)]).sum(0, dtype=torch.float64)
    return product / sum(len(part) for part in rows) - torch.outer(mean, mean)


def _depthwise_moments(rows: list[Tensor]) -> Tensor:
    mean, joined = mean_of(rows), torch.cat(rows)
    taps, channels = mean.shape
    moments = torch.empty(channels, taps, taps, dtype=torch.float64)
    for k in range(taps):
        for m in range(k + 1):
            product = (joined[:, k] * joined[:, m]).sum(0, dtype=torch.float64) / len(joined)
            moments[:, k, m] = moments[:, m, k] = product - mean[k] * mean[m]
    return moments


def lumps(rows: Sequence[Tensor], axis: int = 0) -> Iterator[Tensor]:
    """Join 16 parts at a time: products of a few rows are slow, float32 sums over all rows are inexact."""
    for start in range(0, len(rows), 16):
        yield torch.cat(list(rows[start : start + 16]), dim=axis)
