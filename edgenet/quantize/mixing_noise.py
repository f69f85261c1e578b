"""The noise that rounding makes at the logits, as a function of the axes of linear tensors, with its gradient.

`rotate` looks for the axes with the least noise. The gradient is written out: a descent takes hundreds of steps, and
automatic differentiation would multiply matrices that the gradient does not need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.executor import tensor_of
from edgenet.graph.ir import WEIGHTED, Node
from edgenet.quantize.equalize import TensorGroup
from edgenet.quantize.sensitivity import (
    ACTIVATION_STEPS,
    WEIGHT_STEPS,
    Sensitivity,
    activation_noise,
    weight_noise,
)

Matrix = NDArray[np.float64]


class MixingNoise:
    """The noise energy at the logits from rounding a group's tensors and the weights around them.

    It is a function of the mixing matrix R (see the top of `rotate.py`), and a sum over

    - the tensors, where all channels share one step: span^2 / (12 * 255^2) * tr(R^-T S R^-1), S being their
      sensitivity;
    - the layers that read them: the weights become W R^-1, and the inputs' sensitivity M becomes R M R';
    - the layers that make them: the weights become R W, and the sensitivity S of the rows becomes R^-T S R^-1.
    """

    def __init__(
        self,
        group: TensorGroup,
        far: Mapping[str, NDArray[np.float32]],
        sensitivity: Sensitivity,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Prepare the noise of one group.

        Args:
            group: the linear tensors and the layers around them.
            far: for each of the group's tensors, its most extreme rows minus the tensor's shift: [rows, C].
            sensitivity: the sensitivity, with the whole matrices that `mixable` names.
            dtype: the type of the matrices and of the noise.
        """
        self.channels, self._dtype = next(iter(far.values())).shape[1], dtype
        self.tensors = [
            _Tensor(torch.from_numpy(rows), self._typed(sensitivity.tensors[name]))
            for name, rows in far.items()
        ]
        self.readers = [self._reader(node, sensitivity) for node in group.consumers]
        self.makers = [
            _Maker(_matrix(node, self.channels), self._typed(sensitivity.rows[node.name]))
            for node in group.producers
        ]

    def _typed(self, array: Matrix) -> Tensor:
        return torch.from_numpy(array).to(self._dtype)

    def _reader(self, node: Node, sensitivity: Sensitivity) -> _Reader:
        rows = sensitivity.rows[node.name]
        one_each = np.ascontiguousarray(np.diagonal(rows)) if rows.ndim == 2 else rows
        columns = self._typed(sensitivity.columns[node.name])
        weight = _matrix(node, len(one_each)).reshape(-1, self.channels)
        return _Reader(weight, columns, self._typed(one_each))

    def __call__(self, matrix: Tensor) -> Tensor:
        """Return the noise with this matrix [C, C], a scalar."""
        inverse = torch.linalg.inv(matrix)
        parts = [self._of_tensor(tensor, matrix, inverse) for tensor in self.tensors]
        parts += [self._of_reader(reader, matrix, inverse) for reader in self.readers]
        parts += [self._of_maker(maker, matrix, inverse) for maker in self.makers]
        return torch.stack(parts).sum()

    def of_factors(self, factors: Tensor) -> Tensor:
        """Return the noise with the diagonal matrix of these factors, float64 [C]; it needs no product of matrices."""
        single, inverse = factors.float(), 1 / factors
        parts = []
        for tensor in self.tensors:
            span = _span(tensor.rows * single).double()
            parts.append(activation_noise(span, (tensor.sensitivity.diagonal() * inverse.square()).sum()))
        for reader in self.readers:
            sizes = (reader.weight * inverse.float()).abs().reshape(len(reader.rows), -1)
            gain = (factors.square() * reader.columns.diagonal()).sum() / _trace(reader.columns)
            parts.append(weight_noise(sizes.amax(1).double(), reader.rows, gain))
        for maker in self.makers:
            largest = maker.weight.abs().amax(1).double() * factors
            rows = maker.rows.diagonal() * inverse.square()
            parts.append(weight_noise(largest, rows, torch.ones((), dtype=torch.float64)))
        return torch.stack(parts).sum()

    def _of_tensor(self, tensor: _Tensor, matrix: Tensor, inverse: Tensor) -> Tensor:
        span = _span(tensor.rows @ matrix.T.float())  # in float32, because this takes most of the time
        return activation_noise(span.to(self._dtype), (inverse * (tensor.sensitivity @ inverse)).sum())

    def _of_reader(self, reader: _Reader, matrix: Tensor, inverse: Tensor) -> Tensor:
        largest = (reader.weight @ inverse.float()).abs().reshape(len(reader.rows), -1).amax(1)
        gain = (matrix * (matrix @ reader.columns)).sum() / _trace(reader.columns)
        return weight_noise(largest.to(self._dtype), reader.rows, gain)

    def _of_maker(self, maker: _Maker, matrix: Tensor, inverse: Tensor) -> Tensor:
        rows = (inverse * (maker.rows @ inverse)).sum(0)
        largest = (matrix.float() @ maker.weight).abs().amax(1)
        return weight_noise(largest.to(self._dtype), rows, torch.ones((), dtype=self._dtype))


@dataclass(frozen=True, eq=False)
class _Tensor:
    rows: Tensor
    sensitivity: Tensor


@dataclass(frozen=True, eq=False)
class _Reader:
    weight: Tensor
    columns: Tensor
    rows: Tensor


@dataclass(frozen=True, eq=False)
class _Maker:
    weight: Tensor
    rows: Tensor


def _matrix(node: Node, rows: int) -> Tensor:
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    return tensor_of(operator.weight).reshape(rows, -1)


def _trace(moments: Tensor) -> Tensor:
    return moments.trace().clamp(min=torch.finfo(moments.dtype).tiny)


def _span(values: Tensor) -> Tensor:
    return values.max().clamp(min=0) - values.min().clamp(max=0)


DESCENT_ROWS = 512
"""Number of each tensor's furthest rows with which the gradient is computed."""
SQUARINGS = 4
"""For gradients, the p-norm with p = 2^4 replaces the largest value. It depends on all large values, so that
gradient descent does not push one of them out while it pulls the largest in."""


class DescentNoise:
    """The noise of `MixingNoise` with its gradient, for one descent, in single precision.

    The tensors' span is measured by a p-norm, on the furthest rows only.
    """

    def __init__(self, noise: MixingNoise) -> None:
        """Prepare the descent of a noise in float32."""
        self._noise = noise
        self._rows = torch.cat([tensor.rows[:DESCENT_ROWS] for tensor in noise.tensors])

    def __call__(self, matrix: Tensor) -> tuple[float, Tensor]:
        """Return the noise with this matrix, float32 [C, C], and the gradient by the matrix, [C, C]."""
        noise, inverse = self._noise, torch.linalg.inv(matrix)
        slopes = _Slopes(torch.zeros_like(matrix), torch.zeros_like(matrix))
        total, start, reached = 0.0, 0, self._rows @ matrix.T
        for tensor in noise.tensors:
            part = slice(start, start := start + len(tensor.rows[:DESCENT_ROWS]))
            total += _add_tensor(slopes, tensor, self._rows[part], reached[part], inverse)
        for reader in noise.readers:
            total += _add_reader(slopes, reader, matrix, inverse)
        for maker in noise.makers:
            total += _add_maker(slopes, maker, matrix, inverse)
        # For any D, the derivative of tr(D N) by the matrix, whose inverse is N, is -(N D N)'.
        return total, slopes.matrix - (inverse @ slopes.inverse @ inverse).T


def _largest_of_rows(values: Tensor) -> Tensor:
    """Return the index of the largest magnitude of each row of values, which become magnitudes."""
    return torch.from_numpy(values.abs_().numpy().argmax(1))  # torch's `argmax` takes ten times as long


@dataclass(frozen=True, eq=False)
class _Slopes:
    """The gradients so far: by the matrix, and by its inverse, transposed; both [C, C]."""

    matrix: Tensor
    inverse: Tensor


ACTIVATION_UNIT, WEIGHT_UNIT = 1 / (12 * ACTIVATION_STEPS**2), 1 / (12 * WEIGHT_STEPS**2)
"""The noise of rounding a value, with a sensitivity of 1, if the span or the largest weight is 1."""


def _add_tensor(slopes: _Slopes, tensor: _Tensor, rows: Tensor, reached: Tensor, inverse: Tensor) -> float:
    """Add the gradients of one tensor's noise, and return the noise; `reached` are the rows on the new axes."""
    sensed = tensor.sensitivity @ inverse
    sensitivity = float((inverse * sensed).sum())
    span, by_values = _smooth_span(reached)
    slopes.matrix.addmm_(by_values.T, rows, alpha=2 * ACTIVATION_UNIT * span * sensitivity)
    slopes.inverse.add_(sensed.T, alpha=2 * ACTIVATION_UNIT * span**2)
    return ACTIVATION_UNIT * span**2 * sensitivity


def _smooth_span(values: Tensor) -> tuple[float, Tensor]:
    """Return the sum of the p-norms of the values above zero and of those below, and its gradient by the values."""
    low, high = (float(end) for end in torch.aminmax(values))
    low, high = min(low, -1e-30), max(high, 1e-30)
    # Each side is measured by its own end: of the powers of a much smaller side, float32 would leave nothing.
    # (`where` takes twenty times as long as a product, so both sides are told apart by clamping.)
    scaled = values.clamp(min=0).mul_(1 / high).sub_(values.clamp(max=0), alpha=1 / low)
    power, root = scaled, 0.5**SQUARINGS
    below_last = scaled.clone()
    for _ in range(SQUARINGS - 1):
        power = power.square()
        below_last *= power
    together, difference = float(power.square_().sum()), float((below_last * scaled.abs()).sum())
    above, below = max((together + difference) / 2, 0.0), max((together - difference) / 2, 0.0)
    norm = high * above**root - low * below**root
    by_values = below_last.clamp(min=0).mul_(max(above, 1.0) ** (root - 1))
    return norm, by_values.add_(below_last.clamp_(max=0), alpha=max(below, 1.0) ** (root - 1))


def _add_reader(slopes: _Slopes, reader: _Reader, matrix: Tensor, inverse: Tensor) -> float:
    """Add the gradients of one reader's noise, and return the noise."""
    count, channels = len(reader.rows), len(matrix)
    # The gradient of a maximum is that of its largest item, so only these items need one.
    places = _largest_of_rows((reader.weight @ inverse).reshape(count, -1))
    column, taps = places % channels, reader.weight.reshape(count, -1, channels)
    weight = taps[:, 0] if taps.shape[1] == 1 else taps[torch.arange(count), places // channels]
    largest = (weight * inverse.T.contiguous().index_select(0, column)).sum(1)
    moved, trace = matrix @ reader.columns, float(_trace(reader.columns))
    gain = float((matrix * moved).sum()) / trace
    slope = largest * reader.rows
    alone = WEIGHT_UNIT * float((largest * slope).sum())
    slopes.inverse.index_add_(0, column, weight * slope[:, None], alpha=2 * WEIGHT_UNIT * gain)
    slopes.matrix.add_(moved, alpha=2 * alone / trace)
    return alone * gain


def _add_maker(slopes: _Slopes, maker: _Maker, matrix: Tensor, inverse: Tensor) -> float:
    """Add the gradients of one maker's noise, and return the noise."""
    weight = maker.weight.index_select(1, _largest_of_rows(matrix @ maker.weight)).T
    largest = (matrix * weight).sum(1)
    sensed = maker.rows @ inverse
    rows = (inverse * sensed).sum(0)
    slopes.matrix.addcmul_((largest * rows)[:, None], weight, value=2 * WEIGHT_UNIT)
    slopes.inverse.addcmul_(largest.square()[:, None], sensed.T, value=2 * WEIGHT_UNIT)
    return WEIGHT_UNIT * float((largest.square() * rows).sum())
