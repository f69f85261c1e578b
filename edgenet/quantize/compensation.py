"""Change a layer's weights so that they make up for the quantization errors that are already in its input.

Where the float network's layer has the input x, the layer on the device sees s. This makes an error of w (x - s) in
the output. A linear regression on s predicts part of this error: w E[(x - s) s'] (E[s s'] + lambda)^-1, all moments
about the means. That term is added to the weights w. So directions of the input that hold more error than signal get
less weight, and errors made by earlier layers' weights are undone. (GPTAQ, arXiv 2504.02692, also aims at the float
layer's output; the ridge lambda and the way it is chosen are ours.)

The ridge is chosen on held-out photos: one half of the photos judges the regression that is fitted on the other half.
If no ridge helps on unseen photos, the weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgenet.quantize.rounding import join_parts, mean_of

RIDGES = tuple(10.0**power for power in range(-2, 6))
"""Ridges to try, in squared steps of the input. For comparison, rounding alone makes an error of 1/12."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Second moments of a layer's input about its mean, both float64 [..., K, K].

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
    means = [mean_of(rows, axis=-2).unsqueeze(-2) for rows in (device_rows, float_rows)]
    sums = [_sums(device_rows[half::2], float_rows[half::2], *means) for half in (0, 1) if device_rows[half:]]
    count = sum(one.count for one in sums)
    together = Moments(sum(one.input for one in sums) / count, sum(one.error for one in sums) / count)  # type: ignore[arg-type]
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
        own = self.of_input / self.count
        return Moments(
            self.input / self.count - own.mT @ own,
            self.error / self.count - (self.of_error / self.count).mT @ own,
        )


def _sums(
    device_rows: Sequence[Tensor], float_rows: Sequence[Tensor], device_mean: Tensor, float_mean: Tensor
) -> _Sums:
    count, parts = 0, []
    for seen, real in zip(join_parts(device_rows, -2), join_parts(float_rows, -2), strict=True):
        s = seen - device_mean.to(torch.float32)
        e = real - float_mean.to(torch.float32) - s
        parts.append((s.mT @ s, e.mT @ s, s.sum(-2, keepdim=True), e.sum(-2, keepdim=True)))
        count += s.shape[-2]
    return _Sums(count, *(torch.stack(each).sum(0, dtype=torch.float64) for each in zip(*parts, strict=True)))


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
    values, vectors = torch.linalg.eigh(fitted.input.float())
    pulled = weight @ fitted.error.float() @ vectors
    wanted = (pulled * (weight @ judging.error.float() @ vectors)).sum(-2)
    costs = (pulled.mT @ pulled) * (vectors.mT @ judging.input.float() @ vectors)
    gains = []
    for ridge in RIDGES:
        shares = 1 / (values.clamp(min=0) + ridge)
        spent = shares.unsqueeze(-2) @ costs @ shares.unsqueeze(-1)
        gains.append(2 * (shares * wanted).sum() - spent.sum())
    return torch.stack(gains)


def _change(weight: Tensor, moments: Moments, ridge: float) -> Tensor:
    """Return the change that the regression gives with this ridge."""
    pulled = weight @ moments.error
    damped = moments.input + ridge * torch.eye(weight.shape[-1], dtype=weight.dtype)
    lower, failed = torch.linalg.cholesky_ex(damped)
    if not failed.any():
        return torch.cholesky_solve(pulled.mT, lower).mT
    # Rounding errors made some moments of directions that the input does not have negative.
    values, vectors = torch.linalg.eigh(moments.input)
    return pulled @ vectors / (values.clamp(min=0) + ridge).unsqueeze(-2) @ vectors.mT
