"""Choose a layer's integers: compensated weights, the scale of each channel, rounding, biases.

**Compensation** changes a layer's weights so that they make up for the quantization errors that are already in its
input. Where the float network's layer has the input x, the layer on the device sees s. This makes an error of w (x - s)
in the output. A linear regression on s predicts part of this error: w E[(x - s) s'] (E[s s'] + lambda)^-1, all moments
about the means. That term is added to the weights w. So directions of the input that hold more error than signal get
less weight, and errors made by earlier layers' weights are undone. (GPTAQ, arXiv 2504.02692, also aims at the float
layer's output; the ridge lambda and the way it is chosen are ours.)

The ridge is chosen on held-out photos: one half of the photos judges the regression that is fitted on the other half.
If no ridge helps on unseen photos, the weights stay as they are.

**Rounding** is done with regard to the layer's input, by its second moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import DepthwiseConv2D, FloatArray, Weighted, output_axis, per_channel
from edgenet.quantize.quantized_graph import BIAS_LIMIT, SMALLEST_SCALE, WEIGHT_LIMIT, QuantizedWeights


def quantize_weights(operator: Weighted, input_scale: float) -> QuantizedWeights:
    """Round weights to nearest, and biases to steps of the product of input and weight scales."""
    scales = scales_for(operator, input_scale)
    bias = quantize_bias(operator.bias, input_scale, scales)
    return QuantizedWeights(round_nearest(operator, scales), scales, bias)


def scales_for(operator: Weighted, input_scale: float) -> NDArray[np.float32]:
    """Return the scale of each output channel, float32 [O], with which its largest weight becomes 127.

    A channel of tiny weights gets at least the scale with which its bias fits into 30 bits. Real networks
    have such dead channels, and their int32 bias would overflow otherwise.
    """
    for_weights = _largest_per_channel(operator) / WEIGHT_LIMIT
    scales = np.maximum(for_weights, _bias_floor(operator, input_scale))
    return np.where(scales > SMALLEST_SCALE, scales, ONLY_ZEROS).astype(np.float32)


ONLY_ZEROS = 2.0**-20
"""The scale of weights that are all zero: small, because LiteRT refuses a layer whose input's scale times the weights'
scale is more than 2**8 times the output's, which may be tiny where a layer gives only zeros."""


def _largest_per_channel(operator: Weighted) -> NDArray[np.float32]:
    """Return the largest magnitude of each output channel's weights, [O]."""
    rows = np.moveaxis(operator.weight, output_axis(operator), 0).reshape(len(operator.bias), -1)
    return np.maximum(rows.max(axis=1), -rows.min(axis=1))


def _bias_floor(operator: Weighted, input_scale: float) -> NDArray[np.float32]:
    """Return the smallest weight scales with which the int32 biases do not overflow."""
    return (np.abs(operator.bias) / (input_scale * BIAS_LIMIT)).astype(np.float32)


def quantize_bias(
    bias: NDArray[np.float32], input_scale: float, scales: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Return the int32 biases; their scale is the input's scale times the weights' scale."""
    real = np.rint(np.float64(bias) / (np.float64(input_scale) * np.float64(scales)))
    return np.clip(real, -(2**31), 2**31 - 1).astype(np.int32)


SHRINKING = np.linspace(0.5, 1.0, 26, dtype=np.float32)
"""Scales to try, as fractions of the scale with which no weight is clipped."""
FEWER_SHRINKING = SHRINKING[1::2]
"""Scales to try where time counts more."""
CACHED = 2**18
"""Number of weights processed at once, small enough that temporary arrays stay in the CPU's cache."""


def least_squares_scales(
    operator: Weighted, input_scale: float, shrinking: FloatArray = SHRINKING
) -> NDArray[np.float32]:
    """Return for each output channel the scale with the smallest squared rounding error, clipping included.

    The scales that are tried are these fractions of (largest weight / 127), but none is below the scale that the bias
    needs.
    """
    largest = scales_for(operator, input_scale)
    rows = np.moveaxis(operator.weight, output_axis(operator), 0).reshape(len(largest), -1)
    floor = _bias_floor(operator, input_scale)
    count = max(1, CACHED // rows.shape[1])
    parts = [slice(start, start + count) for start in range(0, len(rows), count)]
    return np.concatenate(
        [_least_squares(rows[part], largest[part], floor[part], shrinking) for part in parts]
    )


def _least_squares(
    rows: FloatArray, largest: FloatArray, floor: FloatArray, shrinking: FloatArray
) -> FloatArray:
    """Return the best scale of each row of [O, K], between its floor and its largest scale, both [O]."""
    best, smallest = largest.copy(), np.full(len(largest), np.inf)
    work = np.empty_like(rows)  # one array for all steps, because new ones take longer than the arithmetic
    for factor in shrinking:
        scales = np.maximum(largest * factor, floor)
        np.divide(rows, scales[:, None], out=work)
        np.clip(np.rint(work, out=work), -WEIGHT_LIMIT, WEIGHT_LIMIT, out=work)
        work *= scales[:, None]
        work -= rows
        error = np.einsum("ij,ij->i", work, work)
        better = error < smallest
        best[better], smallest[better] = scales[better], error[better]
    return best


def round_nearest(operator: Weighted, scales: NDArray[np.float32]) -> NDArray[np.int8]:
    """Round every weight to its nearest step."""
    steps = np.broadcast_to(per_channel(operator, scales), operator.weight.shape)
    made = np.empty(operator.weight.shape, np.int8)
    count = max(1, CACHED // max(1, operator.weight[0].size))
    for start in range(0, len(made), count):
        part = slice(start, start + count)
        rounded = np.rint(operator.weight[part] / steps[part])
        made[part] = np.clip(rounded, -WEIGHT_LIMIT, WEIGHT_LIMIT, out=rounded)
    return made


def round_by_second_moments(
    operator: Weighted, scales: NDArray[np.float32], moments: Tensor | Sequence[Tensor]
) -> NDArray[np.int8]:
    """Round weights so that the squared error of the layer's output is small, not that of its weights.

    Args:
        operator: the layer.
        scales: weight scale of each output channel, [O].
        moments: second moments, about the mean, of the values that the weights are multiplied with. For a
            depthwise convolution they are [C, K, K]; for a convolution or matrix [K, K] (K in the weight's
            own order of kernel and input channels), or the blocks along its diagonal, with all values outside
            them taken as zero.
    """
    steps = torch.from_numpy(operator.weight / per_channel(operator, scales))
    if isinstance(operator, DepthwiseConv2D):
        assert isinstance(moments, Tensor)
        steps = steps.to(torch.float64)
        channels = steps.shape[3]
        rounded = _coordinate_descent(steps.reshape(-1, channels).T, moments)
        return rounded.T.reshape(steps.shape).to(torch.int8).numpy()
    blocks = [moments] if isinstance(moments, Tensor) else moments
    parts = steps.reshape(len(steps), -1).split([len(block) for block in blocks], dim=1)
    integers = [_gptq(part, block) for part, block in zip(parts, blocks, strict=True)]
    return np.concatenate(integers, axis=1).reshape(steps.shape)


BLOCK = 64
"""Number of columns after which GPTQ applies the compensation to all later columns."""


def _gptq(steps: Tensor, moments: Tensor) -> NDArray[np.int8]:
    """Round by GPTQ (arXiv 2210.17323, algorithm 1): by columns, compensating each error in later columns.

    Columns with large second moments come first, while most columns are still left to compensate. Updates of
    later columns are applied in blocks; within a block, each column takes the errors of those before it when its
    turn comes. Columns lie in memory one after the other, and numpy's calls cost less than torch's on a few numbers.
    """
    order = torch.argsort(torch.diagonal(moments), descending=True, stable=True)
    upper = _inverse_root(moments[order][:, order]).numpy()
    columns = np.array(steps.numpy().T[order.numpy()], np.float64)  # each is replaced by its error
    rounded = np.empty_like(columns)
    for start in range(0, len(columns), BLOCK):
        block, result = columns[start : start + BLOCK], rounded[start : start + BLOCK]
        within = np.ascontiguousarray(upper[start : start + BLOCK, start : start + BLOCK].T)
        for number, (now, whole) in enumerate(zip(block, result, strict=True)):
            now -= within[number, :number] @ block[:number]
            np.rint(now, out=whole)
            np.maximum(whole, -WEIGHT_LIMIT, out=whole)
            np.minimum(whole, WEIGHT_LIMIT, out=whole)
            now -= whole
            now /= within[number, number]
        columns[start + BLOCK :] -= upper[start : start + BLOCK, start + BLOCK :].T @ block
    made = np.empty(steps.shape, np.int8)
    made[:, order.numpy()] = rounded.T
    return made


DAMPING = 0.01
"""Fraction of the mean second moment that is added to the diagonal."""


def _inverse_root(moments: Tensor) -> Tensor:
    """Return the upper Cholesky factor of the damped moments' inverse.

    If the input never changes, the moments are only rounding errors and may have no such factor. Then the
    result is the identity, with which each column is rounded by itself.
    """
    diagonal = torch.diagonal(moments)
    damping = DAMPING * diagonal.mean().clamp(min=1e-12)
    damped = moments + damping * torch.eye(len(moments), dtype=moments.dtype)
    lower, failed = torch.linalg.cholesky_ex(damped.flip(0, 1))
    identity = torch.eye(len(moments), dtype=moments.dtype)
    if failed:
        return identity
    # Turned around, the lower factor of M is an R with M = R R', which is upper; so M^-1 = (R^-1)' R^-1.
    return torch.linalg.solve_triangular(lower.flip(0, 1), identity, upper=True)


SWEEPS = 4
"""How often coordinate descent goes through all taps of a kernel."""


def _coordinate_descent(steps: Tensor, moments: Tensor) -> Tensor:
    """Return integers q [C, K] near the steps w that make (w - q)' M (w - q) small, optimized tap by tap."""
    damping = DAMPING * torch.diagonal(moments, dim1=1, dim2=2).mean(1).clamp(min=1e-12)
    damped = moments + damping[:, None, None] * torch.eye(moments.shape[1], dtype=moments.dtype)
    rounded = steps.round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    for _ in range(SWEEPS):
        for tap in range(steps.shape[1]):
            others = steps - rounded
            others[:, tap] = 0
            pull = (damped[:, tap] * others).sum(1) / damped[:, tap, tap]
            rounded[:, tap] = (steps[:, tap] + pull).round().clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return rounded


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
    ends = np.cumsum([0, *block_sizes(rows[0].shape[1])])
    parts = (slice(start, end) for start, end in pairwise(ends))
    return [_mixing_moments([chunk[:, part] for chunk in rows]) for part in parts]


LARGEST_BLOCK = 2304
"""Largest number of a layer's inputs whose errors are balanced together: 3x3 inputs of 256 channels. In every
MobileNet these are all inputs of a layer. The work grows with the cube of this number and the memory with its
square: VGG16's first matrix of 25088 inputs would need 5 GB for one copy of its moments, and a 3x3
convolution of 1024 channels would take minutes."""


def block_sizes(inputs: int) -> list[int]:
    """Return the sizes of the parts that a layer's inputs are split into: about equal, at most LARGEST_BLOCK."""
    parts = -(-inputs // LARGEST_BLOCK)
    return [inputs // parts + (part < inputs % parts) for part in range(parts)]


def _mixing_moments(rows: list[Tensor]) -> Tensor:
    mean = mean_of(rows)
    joined = (torch.cat(rows[start : start + JOINED]) for start in range(0, len(rows), JOINED))
    product = _total([part.T @ part for part in joined])
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


def mean_of(rows: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Return the mean over an axis of an array that is given in parts along that axis."""
    count = sum(part.shape[axis] for part in rows)
    return torch.stack([part.sum(axis) for part in rows]).sum(0, dtype=torch.float64) / count


RIDGES = tuple(10.0**power for power in range(-2, 6))
"""Ridges to try, in squared steps of the input. For comparison, rounding alone makes an error of 1/12."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of a layer's input about its mean, both [..., K, K]: float64 over all photos, float32 over half.

    Attributes:
        input: the device's input with itself, E[s s'].
        error: the input's error with the input, E[(x - s) s'].
    """

    input: Tensor
    error: Tensor


@dataclass(frozen=True, eq=False)
class PairedMoments:
    """The moments over all photos, and over each half of them; `halves` is empty if the photos cannot be halved."""

    together: Moments
    halves: tuple[Moments, ...]


def paired_moments(device_rows: Sequence[Tensor], float_rows: Sequence[Tensor]) -> PairedMoments:
    """Return the moments of a layer's input on the device, and of its error.

    Args:
        device_rows: the input values that the weights are multiplied with on the device, in input steps. Each part
            holds some photos: [rows, K], or [C, rows, K] for a depthwise convolution.
        float_rows: the float network's values at the same places, in the same steps.
    """
    means = [mean_of(rows, axis=-2).unsqueeze(-2).to(torch.float32) for rows in (device_rows, float_rows)]
    sums = [_sums(device_rows[half::2], float_rows[half::2], *means) for half in (0, 1) if device_rows[half:]]
    count = sum(one.count for one in sums)
    products, errors = (_total([getattr(one, name) for one in sums]) for name in ("input", "error"))
    together = Moments(products.div_(count), errors.div_(count))
    return PairedMoments(together, tuple(one.moments() for one in sums) if len(sums) == 2 else ())


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over rows about given means: of the products, and of the device's input and of its error, [..., 1, K]."""

    count: int
    input: Tensor
    error: Tensor
    of_input: Tensor
    of_error: Tensor

    def moments(self) -> Moments:
        """Return the moments about the mean of these rows."""
        own, error = self.of_input.float() / self.count, self.of_error.float() / self.count
        squares, products = (each.float() / self.count for each in (self.input, self.error))
        return Moments(squares.sub_(own.mT @ own), products.sub_(error.mT @ own))


JOINED = 32
"""Number of parts whose products are summed in float32: those of a few rows are slow, those of all rows inexact."""


def _sums(
    device_rows: Sequence[Tensor], float_rows: Sequence[Tensor], device_mean: Tensor, float_mean: Tensor
) -> _Sums:
    count, parts = 0, []
    for start in range(0, len(device_rows), JOINED):
        s = _joined(device_rows[start : start + JOINED], device_mean)
        e = _joined(float_rows[start : start + JOINED], float_mean).sub_(s)
        parts.append((_squared(s), e.mT @ s, s.sum(-2, keepdim=True), e.sum(-2, keepdim=True)))
        count += s.shape[-2]
    return _Sums(count, *(each[0] if len(each) == 1 else _total(each) for each in zip(*parts, strict=True)))


def _joined(rows: Sequence[Tensor], mean: Tensor) -> Tensor:
    """Return the parts minus the mean [..., 1, K] as one new array."""
    ends = np.cumsum([0, *(part.shape[-2] for part in rows)])
    made = rows[0].new_empty((*rows[0].shape[:-2], int(ends[-1]), rows[0].shape[-1]))
    for part, (start, end) in zip(rows, pairwise(ends), strict=True):
        torch.sub(part, mean, out=made[..., start:end, :])
    return made


def _total(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of arrays in double precision."""
    total = parts[0].to(torch.float64, copy=True)
    for part in parts[1:]:
        total += part
    return total


WIDE, STRIPES = 256, 4
"""From this number of columns on, products that are symmetric are computed in so many stripes, and only one half."""


def _squared(rows: Tensor) -> Tensor:
    """Return rows' rows, [..., K, K]."""
    count = rows.shape[-1]
    if rows.ndim > 2 or count < WIDE:
        return rows.mT @ rows
    made = rows.new_empty(count, count)
    for stripe in torch.arange(count).chunk(STRIPES):
        first, last = int(stripe[0]), int(stripe[-1]) + 1
        torch.mm(rows[:, first:].T, rows[:, first:last], out=made[first:, first:last])
        made[first:last, last:] = made[last:, first:last].T
    return made


def compensation(weight: Tensor, moments: PairedMoments) -> Tensor:
    """Return the change to add to the weights; zero if no ridge helps on photos that the regression has not seen.

    Args:
        weight: float64, [O, K] for a convolution or matrix, [C, 1, K] for a depthwise convolution.
        moments: of the layer's input; without halves, no photos judge the ridges and the change is zero.
    """
    if not moments.halves:
        return torch.zeros_like(weight)
    gains = _gains(weight, *moments.halves)
    best = int(gains.argmax())
    if not gains[best] > 0:
        return torch.zeros_like(weight)
    return _change(weight, moments.together, RIDGES[best])


def _gains(weight: Tensor, fitted: Moments, judging: Moments) -> Tensor:
    """Return how much each ridge's change lowers the output's squared error on the `judging` photos.

    On the eigenvectors V of the fitted moments, a ridge divides column k of P = W E V by (value k + ridge). With d
    these divisors' reciprocals, the change's gain is 2 sum(d diag(P' W E_j V)) - d' (P'P * V' M_j V) d: three
    products that serve all ridges.
    """
    weight = weight.float()  # single precision is enough to rank the ridges, and takes half the time
    values, vectors = _eigen(fitted.input.float())
    pulled = weight @ fitted.error.float() @ vectors
    wanted = (pulled * (weight @ judging.error.float() @ vectors)).sum(-2)
    costs = (pulled.mT @ pulled) * (vectors.mT @ judging.input.float() @ vectors)
    gains = []
    for ridge in RIDGES:
        shares = 1 / (values.clamp(min=0) + ridge)
        spent = shares.unsqueeze(-2) @ costs @ shares.unsqueeze(-1)
        gains.append(2 * (shares * wanted).sum() - spent.sum())
    return torch.stack(gains)


def _eigen(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues and the eigenvectors; all are nan where LAPACK finds none, so that no ridge is chosen."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two take twice the time together, and hardly less by the clock
    try:
        values, vectors = torch.linalg.eigh(moments)
    except torch.linalg.LinAlgError:
        return torch.full_like(moments[..., 0], torch.nan), torch.full_like(moments, torch.nan)
    finally:
        torch.set_num_threads(threads)
    return values, vectors


def _change(weight: Tensor, moments: Moments, ridge: float) -> Tensor:
    """Return the change that the regression gives with this ridge."""
    pulled = weight @ moments.error
    damped = moments.input + ridge * torch.eye(weight.shape[-1], dtype=weight.dtype)
    lower, failed = torch.linalg.cholesky_ex(damped)
    if not failed.any():
        return torch.cholesky_solve(pulled.mT, lower).mT
    # Rounding errors made some moments of directions that the input does not have negative.
    values, vectors = _eigen(moments.input)
    if values.isnan().any():
        return torch.zeros_like(pulled)
    return pulled @ vectors / (values.clamp(min=0) + ridge).unsqueeze(-2) @ vectors.mT
