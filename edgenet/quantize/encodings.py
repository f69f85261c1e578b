"""Encode real numbers as integers, and hold the integers of a quantized graph beside its float graph.

The scheme is that of the "TensorFlow Lite 8-bit quantization specification": real = scale * (q - zero_point).
Activations are int8 per tensor, weights int8 symmetric per output channel, biases int32.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.ir import Graph

LOW, HIGH = -128, 127
WEIGHT_LIMIT = 127
BIAS_LIMIT = 2**30
SMALLEST_SCALE = 1e-20
"""With smaller scales, a product of two of them would underflow float32; no network has such values."""


@dataclass(frozen=True)
class Encoding:
    """The encoding of one int8 tensor: real = scale * (q - zero_point). The scale is a float32 value."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """The integers of one weighted operator.

    Attributes:
        values: int8 weights, in the operator's own layout.
        scales: float32 [O], one weight scale per output channel.
        bias: int32 [O]; its scale is the input's scale times the weights' scale.
    """

    values: NDArray[np.int8]
    scales: NDArray[np.float32]
    bias: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class QuantizedGraph:
    """A float graph and the integers that represent it.

    Attributes:
        graph: the float graph, lowered to the operators that a .tflite file has.
        encodings: by tensor name, the encoding of the input and of every tensor that an int8 node makes or
            reads.
        weights: by node name, the integers of every weighted int8 node.
        kept_float: names of the nodes that are computed in float32 with the graph's own weights.
    """

    graph: Graph
    encodings: Mapping[str, Encoding]
    weights: Mapping[str, QuantizedWeights]
    kept_float: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Range:
    """The lowest and the highest value that a tensor took."""

    low: float
    high: float

    def union(self, other: Range) -> Range:
        """Return the smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


def encoding_for(values: Range) -> Encoding:
    """Return the int8 encoding of a range, widened to hold zero, which int8 must represent exactly."""
    low, high = min(values.low, 0.0), max(values.high, 0.0)
    scale = np.float32((high - low) / (HIGH - LOW))
    if scale < SMALLEST_SCALE:  # the tensor holds only zeros
        return Encoding(1.0, 0)
    zero_point = int(np.clip(np.rint(LOW - low / scale), LOW, HIGH))
    return Encoding(float(scale), zero_point)


def quantize_array(values: NDArray[np.floating], encoding: Encoding) -> NDArray[np.int8]:
    """Quantize real numbers to int8, rounding half to even and saturating."""
    q = np.rint(values.astype(np.float32) / np.float32(encoding.scale)) + encoding.zero_point
    return np.clip(q, LOW, HIGH).astype(np.int8)


def dequantize_array(values: NDArray[np.int8], encoding: Encoding) -> NDArray[np.float32]:
    """Return the real numbers that int8 values represent, float32."""
    return (values.astype(np.float32) - np.float32(encoding.zero_point)) * np.float32(encoding.scale)


# ==== edgenet.quantize.channels
# Measure how well the channels of an int8 tensor use the 256 steps that they share.

OUTLIER = 8.0


@dataclass(frozen=True)
class ChannelUse:
    """How the channels of one tensor use its int8 steps, measured on some photos.

    A channel's reach is its largest |x|. A tensor has only one scale, so a few channels with a far larger
    reach leave few steps to all others.

    Attributes:
        channels: number of channels.
        dead: number of channels whose int8 value never changes. A channel that changes by less than one step
            in float counts as dead too.
        outliers: number of channels whose reach is over 8 times the median reach of the channels that are not
            dead.
        reach: the largest reach divided by that median reach.
        median_bits: log2 of the number of steps between the smallest and the largest value, for the median
            channel that is not dead. It is 8 where all channels fill the range alike.
    """

    channels: int
    dead: int
    outliers: int
    reach: float
    median_bits: float


def channel_use(low: NDArray[np.int64], high: NDArray[np.int64], zero_point: int) -> ChannelUse:
    """Return the channel use, given the smallest and the largest int8 value of every channel, both [C]."""
    alive = high > low
    if not alive.any():
        return ChannelUse(len(low), len(low), 0, 1.0, 0.0)
    reach = np.maximum(np.abs(low - zero_point), np.abs(high - zero_point))[alive]
    middle = max(float(np.median(reach)), 1.0)
    return ChannelUse(
        channels=len(low),
        dead=int(len(low) - alive.sum()),
        outliers=int((reach > OUTLIER * middle).sum()),
        reach=float(reach.max()) / middle,
        median_bits=math.log2(float(np.median((high - low)[alive])) + 1),
    )
