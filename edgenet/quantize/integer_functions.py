"""The integer arithmetic of single functions as LiteRT computes them: tables of 256 results, leaky ReLUs, resizing.

The sigmoid, the tanh and the GELU are computed in float32 and rounded: the first two by XNNPACK, half to even, the
GELU by LiteRT's own kernel. XNNPACK has no int8 hard_swish, so LiteRT runs its own kernel, which works in 16-bit
fixed point (tflite/kernels/internal/reference/hard_swish.h); edgenet's own files have an addition and a multiplication
instead, which XNNPACK runs (`graph.xnnpack_forms`).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import resize, taps
from edgenet.graph.ir import LeakyRelu, PRelu, Resize
from edgenet.quantize.quantized_graph import HIGH, LOW, Encoding, quantize_array, quantized_slopes

Integers = NDArray[np.int64]
INT8_VALUES: Integers = np.arange(LOW, HIGH + 1, dtype=np.int64)


def _sigmoid_table(source: Encoding, output: Encoding) -> NDArray[np.int8]:
    """Return 1 / (1 + exp(-x)) for every int8 value, int8 [256]."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite where the result is 0
        return quantize_array(1 / (1 + np.exp(-_real(source))), output)


def _tanh_table(source: Encoding, output: Encoding) -> NDArray[np.int8]:
    """Return tanh(x) for every int8 value, int8 [256]."""
    return quantize_array(np.tanh(_real(source)), output)


def _gelu_table(source: Encoding, output: Encoding) -> NDArray[np.int8]:
    """Return gelu(x) for every int8 value, int8 [256]."""
    return _rounded_away(functional.gelu(torch.from_numpy(_real(source))).numpy(), output)


def _gelu_tanh_table(source: Encoding, output: Encoding) -> NDArray[np.int8]:
    """Return gelu(x), approximated by tanh, for every int8 value, int8 [256]."""
    return _rounded_away(functional.gelu(torch.from_numpy(_real(source)), approximate="tanh").numpy(), output)


def _real(source: Encoding) -> NDArray[np.float32]:
    return (INT8_VALUES - source.zero_point).astype(np.float32) * np.float32(source.scale)


def _rounded_away(values: NDArray[np.float32], output: Encoding) -> NDArray[np.int8]:
    """Quantize as LiteRT's tables do: multiply by 1 / scale, round half away from zero."""
    steps = values * (np.float32(1) / np.float32(output.scale))
    rounded = np.trunc(steps + np.copysign(np.float32(0.5), steps)) + output.zero_point
    return rounded.clip(LOW, HIGH).astype(np.int8)


def _hard_swish_table(source: Encoding, output: Encoding) -> NDArray[np.int8]:
    """Return x * relu6(x + 3) / 6 for every int8 value, int8 [256]."""
    fine_scale = np.float32(1 / 128) * np.float32(source.scale)
    fine = (INT8_VALUES - source.zero_point) * 128
    factor, exponent = _fixed_point(float(fine_scale / np.float32(output.scale)))
    x = _doubling_high_mul(fine, factor)  # on the output's scale, except for the shift by `exponent`
    gate = _gate(fine, float(fine_scale / np.float32(3 / 32768)))
    product = _truncating_shift(gate * x, 15)
    result = _rounding_shift(product, -exponent) + output.zero_point
    return result.clip(LOW, HIGH).astype(np.int8)


def _gate(fine: Integers, multiplier: float) -> Integers:
    """Return relu6(x + 3) / 6, between 0 and 1 with 2**15 for 1; steps of 3 / 2**15 saturate at -3 and 3."""
    factor, exponent = _fixed_point(multiplier)
    if exponent > 0:
        # The last bit is shifted after the multiplication, so that only this bit saturates the result.
        fine = _saturate(fine << (exponent - 1))
    value = _doubling_high_mul(fine, factor)
    value = _saturate(value << 1) if exponent > 0 else _rounding_shift(value, -exponent)
    return (value + 2**15) >> 1


INT16_LOW, INT16_HIGH = -(2**15), 2**15 - 1


def _fixed_point(real: float) -> tuple[int, int]:
    """Return a factor of 15 bits and an exponent with real = factor / 2**15 * 2**exponent."""
    fraction, exponent = math.frexp(real)
    factor = math.floor(fraction * 2**31 + 0.5)
    if factor == 2**31:
        factor, exponent = factor // 2, exponent + 1
    return min((factor + 2**15) >> 16, INT16_HIGH), exponent


def _saturate(values: Integers) -> Integers:
    return values.clip(INT16_LOW, INT16_HIGH)


def _doubling_high_mul(values: Integers, factor: int) -> Integers:
    """Return values * factor / 2**15, rounded to nearest with halves going up, also negative ones."""
    product = values * factor
    return _truncating_shift(product + np.where(product >= 0, 2**14, 1 - 2**14), 15)


def _truncating_shift(values: Integers, bits: int) -> Integers:
    """Divide by a power of two and drop the fraction."""
    return np.sign(values) * (np.abs(values) >> bits)


def _rounding_shift(values: Integers, bits: int) -> Integers:
    """Divide by a power of two, rounding half away from zero."""
    half = 2**bits >> 1
    return np.sign(values) * ((np.abs(values) + half) >> bits)


TABLES = {
    "hard_swish": _hard_swish_table,
    "sigmoid": _sigmoid_table,
    "tanh": _tanh_table,
    "gelu": _gelu_table,
    "gelu_tanh": _gelu_tanh_table,
}


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
