"""Quantize weights and biases to integers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.operators import DepthwiseConv2D, Weighted
from edgenet.quantize.encodings import BIAS_LIMIT, SMALLEST_SCALE, WEIGHT_LIMIT, QuantizedWeights


def output_axis(operator: Weighted) -> int:
    """Return the weight's output channel axis: the last for a depthwise convolution, else the first."""
    return 3 if isinstance(operator, DepthwiseConv2D) else 0


def largest_per_channel(operator: Weighted) -> NDArray[np.float32]:
    """Return the largest magnitude of each output channel's weights, [O]."""
    rows = np.moveaxis(operator.weight, output_axis(operator), 0).reshape(len(operator.bias), -1)
    return np.abs(rows).max(axis=1)


def scales_for(operator: Weighted, input_scale: float) -> NDArray[np.float32]:
    """Return the scale of each output channel, float32 [O], with which its largest weight becomes 127.

    A channel of tiny weights gets at least the scale with which its bias fits into 30 bits. Real networks
    have such dead channels, and their int32 bias would overflow otherwise.
    """
    for_weights = largest_per_channel(operator) / WEIGHT_LIMIT
    for_bias = np.abs(operator.bias) / (input_scale * BIAS_LIMIT)
    scales = np.maximum(for_weights, for_bias)
    return np.where(scales > SMALLEST_SCALE, scales, 1.0).astype(np.float32)


def per_channel(operator: Weighted, vector: NDArray) -> NDArray:
    """Return a vector [O] reshaped so that it broadcasts over the operator's weight."""
    shape = [1] * operator.weight.ndim
    shape[output_axis(operator)] = -1
    return vector.reshape(shape)


def quantize_weights(operator: Weighted, input_scale: float) -> QuantizedWeights:
    """Round weights to nearest, and biases to steps of the product of input and weight scales."""
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
    """Return the int32 biases; their scale is the input's scale times the weights' scale."""
    real = np.rint(np.float64(bias) / (np.float64(input_scale) * np.float64(scales)))
    return np.clip(real, -(2**31), 2**31 - 1).astype(np.int32)
