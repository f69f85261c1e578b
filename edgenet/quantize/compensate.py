"""Weights that make up for what quantization has done to a layer's input so far, as far as the input itself tells.

Where the float network has x, the layer on the device sees s. What can be told of the error w (x - s) of its output
from s is a linear regression: w E[(x - s) s'] (E[s s'] + lambda)^-1, about the means, is added to the weights w.
Directions of the input that hold more error than signal are read less, and errors that earlier weights have made are
taken back. (GPTAQ, arXiv 2504.02692, aims at the float layer's output too; the ridge and its choice are ours.)

The ridge lambda is chosen on photos that the regression has not seen: each half of them judges what the other gives.
Where nothing helps there, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgenet.quantize.moments import lumps, mean_of

RIDGES = tuple(10.0**power for power in range(-2, 6))
"""In squared steps of the input; rounding alone makes errors of 1/12."""


@dataclass(frozen=True)
class _Moments:
    """About the means: of what is seen, and of the error with what is seen; both [..., K, K]."""

    seen: Tensor
    error: Tensor


def compensation(weight: Tensor, seen: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """What to add to the weights; zero where they are better left alone.

    Args:
        weight: [O, K] of a convolution or matrix, [C, 1, K] of a depthwise convolution, float64.
        seen: what the weights are multiplied with on the device, some photos in each part: [rows, K], or [C, rows, K].
        real: the same in the float network, in the same steps.
    """
    if len(seen) < 2:  # none would judge
        return torch.zeros_like(weight)
    halves = [_moments(seen[half::2], real[half::2]) for half in (0, 1)]
    gains = _gains(weight, halves[0], halves[1]) + _gains(weight, halves[1], halves[0])
    best = int(gains.argmax())
    if gains[best] <= 0:
        return torch.zeros_like(weight)
    together = _Moments((halves[0].seen + halves[1].seen) / 2, (halves[0].error + halves[1].error) / 2)
    return next(_changes(weight, together, RIDGES[best : best + 1]))


def _gains(weight: Tensor, fitted: _Moments, judging: _Moments) -> Tensor:
    """By how much each ridge's change lowers the squared error of the output on other photos."""
    error = weight @ judging.error
    return torch.stack(
        [
            2 * (change * error).sum() - (change @ judging.seen * change).sum()
            for change in _changes(weight, fitted, RIDGES)
        ]
    )


def _changes(weight: Tensor, moments: _Moments, ridges: Sequence[float]) -> Iterator[Tensor]:
    """The regression with each ridge."""
    values, vectors = torch.linalg.eigh(moments.seen)
    pulled = weight @ moments.error @ vectors
    for ridge in ridges:
        yield pulled / (values.clamp(min=0) + ridge).unsqueeze(-2) @ vectors.mT


def _moments(seen: Sequence[Tensor], real: Sequence[Tensor]) -> _Moments:
    errors = [x - s for x, s in zip(real, seen, strict=True)]
    return _Moments(_product(seen, seen), _product(errors, seen))


def _product(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """The covariance [..., K, K] of two [rows, K] or [C, rows, K], whose rows come in parts."""
    count = sum(part.shape[-2] for part in right)
    pairs = zip(_centred(left), _centred(right), strict=True)
    return torch.stack([a.mT @ b for a, b in pairs]).sum(0, dtype=torch.float64) / count


def _centred(parts: Sequence[Tensor]) -> Iterator[Tensor]:
    mean = mean_of(parts, axis=-2).unsqueeze(-2).to(torch.float32)
    return (lump - mean for lump in lumps(parts, axis=-2))
