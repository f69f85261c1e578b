"""Weights and biases as integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.operators import DepthwiseConv2D, Weighted
from edgenet.quantize.encodings import BIAS_LIMIT, SMALLEST_SCALE, WEIGHT_LIMIT, QuantizedWeights


def output_axis(operator: Weighted) -> int:
    """Which axis of the weight is the output channel: the last of a depthwise convolution, else the first."""
    return 3 if isinstance(operator, DepthwiseConv2D) else 0


def largest_per_channel(operator: Weighted) -> NDArray[np.float32]:
    """The largest magnitude of each output channel's weights, [O]."""
    rows = np.moveaxis(operator.weight, output_axis(operator), 0).reshape(len(operator.bias), -1)
    return np.abs(rows).max(axis=1)


def scales_for(operator: Weighted, input_scale: float) -> NDArray[np.float32]:
    """The scale of each output channel, float32 [O]: its largest weight becomes 127.

    A channel of tiny weights gets at least the scale at which its bias fits into 30 bits; real networks have
    such dead channels, and their int32 bias would overflow.
    """
    for_weights = largest_per_channel(operator) / WEIGHT_LIMIT
    for_bias = np.abs(operator.bias) / (input_scale * BIAS_LIMIT)
    scales = np.maximum(for_weights, for_bias)
    return np.where(scales > SMALLEST_SCALE, scales, 1.0).astype(np.float32)


def per_channel(operator: Weighted, vector: NDArray) -> NDArray:
    """A vector [O] shaped so that it multiplies the operator's weight."""
    shape = [1] * operator.weight.ndim
    shape[output_axis(operator)] = -1
    return vector.reshape(shape)


def quantize_weights(operator: Weighted, input_scale: float) -> QuantizedWeights:
    """Rounds weights to nearest and biases to the product of the scales."""
    scales = scales_for(operator, input_scale)
    values = np.rint(operator.weight / per_channel(operator, scales))
    return QuantizedWeights(
        np.clip(values, -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8),
        scales,
        quantize_bias(operator.bias, input_scale, scales),
    )


def quantize_bias(
    bias: NDArray[np.float32], input_scale: float, scales: NDArray[np.float32]
) -> NDArray[np.int32]:
    """int32 biases, whose scale is the input's times the weights'."""
    real = np.rint(np.float64(bias) / (np.float64(input_scale) * np.float64(scales)))
    return np.clip(real, -(2**31), 2**31 - 1).astype(np.int32)
