"""Predict the rounding noise at the logits for a mixing matrix R on linear tensors, with gradients for R.

`rotate` explains the matrix. The predicted noise is a sum over

- the tensors, where all channels share one step: span^2 / (12 * 255^2) * tr(R^-T S R^-1), S being their
  sensitivity;
- the layers that read them: the weights become W R^-1, and the inputs' sensitivity M becomes R M R';
- the layers that make them: the weights become R W, and the sensitivity S of the rows becomes R^-T S R^-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import Node
from edgenet.graph.operators import WEIGHTED
from edgenet.quantize.groups import TensorGroup
from edgenet.quantize.rounding_noise import activation_noise, weight_noise
from edgenet.quantize.sensitivity import Sensitivity

SQUARINGS = 4
"""For gradients, the p-norm with p = 2^4 replaces the largest value. It depends on all large values, so that
gradient descent does not push one of them out while it pulls the largest in."""


@dataclass(frozen=True, eq=False)
class _Tensor:
    rows: Tensor
    felt: Tensor


@dataclass(frozen=True, eq=False)
class _Reader:
    weight: Tensor
    columns: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class _Maker:
    weight: Tensor
    rows: Tensor


class MixingNoise:
    """The noise energy at the logits from rounding a group's tensors and the weights around them."""

    def __init__(
        self, group: TensorGroup, far: Mapping[str, NDArray[np.float32]], sensitivity: Sensitivity
    ) -> None:
        """Prepare the noise of one group.

        Args:
            group: the linear tensors and the layers around them.
            far: for each of the group's tensors, its most extreme rows minus the tensor's shift: [rows, C].
            sensitivity: the sensitivity, with the whole matrices that `mixable` names.
        """
        self.channels = next(iter(far.values())).shape[1]
        self._tensors = [
            _Tensor(torch.from_numpy(rows), torch.from_numpy(sensitivity.tensors[name]))
            for name, rows in far.items()
        ]
        self._readers = [self._reader(node, sensitivity) for node in group.consumers]
        self._makers = [
            _Maker(_matrix(node, self.channels), torch.from_numpy(sensitivity.rows[node.name]))
            for node in group.producers
        ]

    def _reader(self, node: Node, sensitivity: Sensitivity) -> _Reader:
        rows = sensitivity.rows[node.name]
        one_each = np.ascontiguousarray(np.diagonal(rows)) if rows.ndim == 2 else rows
        columns = torch.from_numpy(sensitivity.columns[node.name])
        weight = _matrix(node, len(one_each)).reshape(-1, self.channels)
        return _Reader(weight, columns, torch.from_numpy(one_each))

    def __call__(self, matrix: Tensor, smooth: bool = False) -> Tensor:
        """Return the noise with this matrix, a float64 scalar.

        Args:
            matrix: float64 [C, C].
            smooth: whether to measure the tensors' span with a p-norm instead of the largest value.
        """
        inverse = torch.linalg.inv(matrix)
        parts = [self._of_tensor(tensor, matrix, inverse, smooth) for tensor in self._tensors]
        parts += [self._of_reader(reader, matrix, inverse) for reader in self._readers]
        parts += [self._of_maker(maker, matrix, inverse) for maker in self._makers]
        return torch.stack(parts).sum()

    def _of_tensor(self, tensor: _Tensor, matrix: Tensor, inverse: Tensor, smooth: bool) -> Tensor:
        values = tensor.rows @ matrix.T.float()  # in float32, because this takes most of the time
        span = _smooth_span(values) if smooth else values.max().clamp(min=0) - values.min().clamp(max=0)
        return activation_noise(span.double(), (inverse * (tensor.felt @ inverse)).sum())

    def _of_reader(self, reader: _Reader, matrix: Tensor, inverse: Tensor) -> Tensor:
        largest = (reader.weight @ inverse).abs().reshape(len(reader.rows), -1).amax(1)
        gain = (matrix * (matrix @ reader.columns)).sum() / reader.columns.trace().clamp(min=1e-300)
        return weight_noise(largest, reader.rows, gain)

    def _of_maker(self, maker: _Maker, matrix: Tensor, inverse: Tensor) -> Tensor:
        rows = (inverse * (maker.rows @ inverse)).sum(0)
        return weight_noise((matrix @ maker.weight).abs().amax(1), rows, torch.ones((), dtype=torch.float64))


def _matrix(node: Node, rows: int) -> Tensor:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    return torch.from_numpy(operator.weight.astype(np.float64)).reshape(rows, -1)


def _smooth_span(values: Tensor) -> Tensor:
    """Return the sum of the p-norms of the values above zero and of those not above zero."""
    largest = values.detach().abs().max().clamp(min=1e-30)
    powers = (values / largest).square()
    for _ in range(SQUARINGS - 1):
        powers = powers.square()
    above = torch.where(values > 0, powers, 0.0).sum()
    below = powers.sum() - above
    root = 0.5**SQUARINGS
    return largest * (above.clamp(min=1e-30) ** root + below.clamp(min=1e-30) ** root)
