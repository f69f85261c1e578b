"""The integer arithmetic of leaky ReLUs and resized pictures, and TFLite's multiplication in fixed point."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgenet.graph.ir import LeakyRelu, PRelu, Resize
from edgenet.graph.resizing import resize, taps
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, quantized_slopes


def leaky_relu(operator: LeakyRelu, x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Return x or x * slope in XNNPACK's fixed point with 8 bits behind the point (qs8-vlrelu)."""
    ratio = np.float32(source.scale) / np.float32(output.scale)
    positive = int(np.rint(np.float32(256) * ratio))
    negative = int(np.rint(np.float32(256) * ratio * np.float32(operator.slope)))
    centred = x.to(torch.int64) - source.zero_point
    product = torch.where(centred >= 0, centred * positive, centred * negative)
    return (((product + 128) >> 8) + output.zero_point).clamp(LOW, HIGH).to(torch.int8)


def resized(operator: Resize, x: Tensor) -> Tensor:
    """Return the nearest pixels, or XNNPACK's bilinear interpolation with weights of 11 bits (s8-ibilinear)."""
    if operator.kind == "nearest":
        return resize(x, operator)
    height, width = taps(operator, (x.shape[1], x.shape[2]))
    down, right = (torch.from_numpy(np.rint(t.share * 2048).astype(np.int64)) for t in (height, width))
    wide = x.to(torch.int64)
    upper, lower = (
        _interpolated(wide[:, rows], width.low, width.high, right) for rows in (height.low, height.high)
    )
    total = (upper << 11) + (lower - upper) * down[:, None, None]
    return ((total + (1 << 21)) >> 22).to(torch.int8)


def _interpolated(x: Tensor, low: NDArray[np.int64], high: NDArray[np.int64], share: Tensor) -> Tensor:
    left = x[:, :, low]
    return (left << 11) + (x[:, :, high] - left) * share[:, None]


def prelu(operator: PRelu, x: Tensor, source: Encoding, output: Encoding) -> Tensor:
    """Return x or x * slope as LiteRT's own kernel computes it, in 32-bit fixed point; XNNPACK has none for int8."""
    slopes, slope_scale = quantized_slopes(operator.slope)
    centred = x.to(torch.int64) - source.zero_point
    scale, out = float(np.float32(source.scale)), float(np.float32(output.scale))
    positive = multiplied(centred, scale / out)
    negative = multiplied(centred * torch.from_numpy(slopes).to(torch.int64), scale * slope_scale / out)
    result = torch.where(centred >= 0, positive, negative) + output.zero_point
    return result.clamp(LOW, HIGH).to(torch.int8)


def multiplied(values: Tensor, real: float) -> Tensor:
    """Return values * real in TFLite's fixed point with a factor of 31 bits, rounded twice, halves away from zero."""
    fraction, exponent = math.frexp(real)
    factor = math.floor(fraction * 2**31 + 0.5)
    if factor == 2**31:
        factor, exponent = factor // 2, exponent + 1
    product = (values << max(exponent, 0)) * factor
    nudged = product + torch.where(product >= 0, 2**30, 1 - 2**30)
    high = nudged.sign() * (nudged.abs() >> 31)
    bits = max(-exponent, 0)
    return high.sign() * ((high.abs() + (2**bits >> 1)) >> bits)
