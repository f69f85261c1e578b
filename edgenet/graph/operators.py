"""The operators of edgenet's graph: frozen dataclasses that hold their attributes and constants.

All of them work on NHWC tensors. Weights keep TFLite's layouts, so that writing a file copies and never
permutes. Arrays are never changed in place: a pass that changes a weight makes a new operator with
`dataclasses.replace`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


class Activation(str, Enum):
    """The activation that an operator applies to its own result."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the lowest and highest value that the activation can give."""
        return {"none": (-np.inf, np.inf), "relu": (0.0, np.inf), "relu6": (0.0, 6.0)}[self.value]


class Pads(NamedTuple):
    """How many pixels of padding each side of the picture gets."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True, eq=False)
class Conv2D:
    """A convolution with weight [O, KH, KW, I / groups] and bias [O]."""

    weight: FloatArray
    bias: FloatArray
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: Pads = Pads()
    groups: int = 1
    activation: Activation = Activation.NONE

    @property
    def kernel(self) -> tuple[int, int]:
        """Return the height and width of the kernel."""
        return self.weight.shape[1], self.weight.shape[2]


@dataclass(frozen=True, eq=False)
class DepthwiseConv2D:
    """A depthwise convolution with weight [1, KH, KW, C * multiplier] and bias [C * multiplier]."""

    weight: FloatArray
    bias: FloatArray
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: Pads = Pads()
    activation: Activation = Activation.NONE

    @property
    def kernel(self) -> tuple[int, int]:
        """Return the height and width of the kernel."""
        return self.weight.shape[1], self.weight.shape[2]


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """A matrix product over the last axis with weight [O, I] and bias [O]."""

    weight: FloatArray
    bias: FloatArray
    activation: Activation = Activation.NONE


@dataclass(frozen=True, eq=False)
class Affine:
    """x * scale + offset along the last axis; scale and offset are each [C] or [1]."""

    scale: FloatArray
    offset: FloatArray


@dataclass(frozen=True)
class Unary:
    """An elementwise function of one tensor: relu, relu6, hard_swish, hard_sigmoid or sigmoid."""

    kind: str


@dataclass(frozen=True)
class Binary:
    """An elementwise function of two tensors, with broadcasting: add, sub or mul."""

    kind: str
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class Pool:
    """Max or average pooling; the average does not count padding, as in TFLite."""

    kind: str
    size: tuple[int, int]
    stride: tuple[int, int]
    pads: Pads = Pads()

    @property
    def kernel(self) -> tuple[int, int]:
        """Return the height and width of the window."""
        return self.size

    @property
    def dilation(self) -> tuple[int, int]:
        """Return (1, 1): pooling windows have no holes."""
        return (1, 1)


@dataclass(frozen=True)
class Mean:
    """The mean over height and width: [1, H, W, C] becomes [1, 1, 1, C], or [1, C] without `keep_dims`."""

    keep_dims: bool = True


@dataclass(frozen=True)
class Pad:
    """Padding around the picture as a separate step: with zeros, or with -inf before max pooling."""

    pads: Pads
    value: float = 0.0


@dataclass(frozen=True)
class Concat:
    """The concatenation of tensors along an axis."""

    axis: int


@dataclass(frozen=True)
class Reshape:
    """The same values in another shape."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Transpose:
    """The axes in another order: output axis i is input axis permutation[i]."""

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """Softmax along the last axis."""


Windowed = Conv2D | DepthwiseConv2D | Pool
Weighted = Conv2D | DepthwiseConv2D | FullyConnected
Operator = (
    Conv2D
    | DepthwiseConv2D
    | FullyConnected
    | Affine
    | Unary
    | Binary
    | Pool
    | Mean
    | Pad
    | Concat
    | Reshape
    | Transpose
    | Softmax
)

WINDOWED = (Conv2D, DepthwiseConv2D, Pool)
WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)
FUSING = (Conv2D, DepthwiseConv2D, FullyConnected, Binary)
"""The operators that can apply an activation to their own result."""
