"""Change a layer's weights so that they make up for the quantization errors already in the layer's input.

Where the float network's layer has the input x, the layer on the device sees s. This makes an error of
w (x - s) in the output. A linear regression on s predicts part of this error:
w E[(x - s) s'] (E[s s'] + lambda)^-1, all moments about the means. That term is added to the weights w. So
directions of the input that hold more error than signal get less weight, and errors made by earlier layers'
weights are undone. (GPTAQ, arXiv 2504.02692, also aims at the float layer's output; the ridge and the way it
is chosen are ours.)

The ridge lambda is chosen by cross-validation: each half of the photos judges the regression fitted on the
other half. If no ridge helps on unseen photos, the weights stay unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgenet.quantize.moments import lumps, mean_of

RIDGES = tuple(10.0**power for power in range(-2, 6))
"""Ridges to try, in squared steps of the input. For comparison, rounding alone makes an error of 1/12."""


@dataclass(frozen=True)
class _Moments:
    """Centred second moments, both [..., K, K]: input with input (`seen`), and error with input (`error`)."""

    seen: Tensor
    error: Tensor


def compensation(weight: Tensor, seen: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return the change to add to the weights; it is zero where no change helps.

    Args:
        weight: float64, [O, K] for a convolution or matrix, [C, 1, K] for a depthwise convolution.
        seen: the input values that the weights are multiplied with on the device, in input steps. Each part
            holds some photos: [rows, K], or [C, rows, K] for a depthwise convolution.
        real: the float network's values at the same places, in the same steps.
    """
    if len(seen) < 2:  # no photos would be left to judge the ridges on
        return torch.zeros_like(weight)
    halves = [_moments(seen[half::2], real[half::2]) for half in (0, 1)]
    gains = _gains(weight, halves[0], halves[1]) + _gains(weight, halves[1], halves[0])
    best = int(gains.argmax())
    if gains[best] <= 0:
        return torch.zeros_like(weight)
    together = _Moments((halves[0].seen + halves[1].seen) / 2, (halves[0].error + halves[1].error) / 2)
    return next(_changes(weight, together, RIDGES[best : best + 1]))


def _gains(weight: Tensor, fitted: _Moments, judging: _Moments) -> Tensor:
    """Return how much each ridge's change lowers the output's squared error on the `judging` photos."""
    error = weight @ judging.error
    return torch.stack(
        [
            2 * (change * error).sum() - (change @ judging.seen * change).sum()
            for change in _changes(weight, fitted, RIDGES)
        ]
    )


def _changes(weight: Tensor, moments: _Moments, ridges: Sequence[float]) -> Iterator[Tensor]:
    """Yield the weight change that the regression gives with each ridge."""
    values, vectors = torch.linalg.eigh(moments.seen)
    pulled = weight @ moments.error @ vectors
    for ridge in ridges:
        yield pulled / (values.clamp(min=0) + ridge).unsqueeze(-2) @ vectors.mT


def _moments(seen: Sequence[Tensor], real: Sequence[Tensor]) -> _Moments:
    errors = [x - s for x, s in zip(real, seen, strict=True)]
    return _Moments(_product(seen, seen), _product(errors, seen))


def _product(left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Return the covariance [..., K, K] of two arrays [rows, K] or [C, rows, K], given in parts."""
    count = sum(part.shape[-2] for part in right)
    pairs = zip(_centred(left), _centred(right), strict=True)
    return torch.stack([a.mT @ b for a, b in pairs]).sum(0, dtype=torch.float64) / count


def _centred(parts: Sequence[Tensor]) -> Iterator[Tensor]:
    mean = mean_of(parts, axis=-2).unsqueeze(-2).to(torch.float32)
    return (lump - mean for lump in lumps(parts, axis=-2))
