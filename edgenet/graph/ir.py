"""The intermediate representation: one small typed graph of a classifier, and its operators.

The nodes stand in topological order, with one input picture and one output vector. All operators work on NHWC
tensors. Weights keep TFLite's layouts, so that writing a file copies them and never permutes. Arrays are never
changed in place: a pass that changes a weight makes a new operator with `dataclasses.replace`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A classifier in NHWC.

    Attributes:
        name: shown to people and written to the file's metadata.
        nodes: in topological order; each tensor is produced exactly once.
        input: the tensor [1, H, W, 3] that holds the decoded pixels (see `pixels`).
        output: the tensor [1, N] of logits (or of scores if the network ends in an activation).
        shapes: the shape of every tensor, for a batch of one.
        pixels: how uint8 RGB pixels become the input's numbers; None if the input takes normalized numbers,
            as it does until `normalize_pixels` puts the normalization in front.
    """

    name: str
    nodes: tuple[Node, ...]
    input: str
    output: str
    shapes: Mapping[str, Shape]
    pixels: PixelEncoding | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Return the height and width of the picture."""
        _, height, width, _ = self.shapes[self.input]
        return height, width

    @property
    def classes(self) -> int:
        """Return the number of output scores."""
        return self.shapes[self.output][-1]

    def require_pixels(self) -> PixelEncoding:
        """Return the pixel encoding of the graph's input.

        Raises:
            TypeError: the graph takes normalized numbers, not pixels.
        """
        if self.pixels is None:
            raise TypeError(f"the graph '{self.name}' takes normalized numbers, not pixels")
        return self.pixels

    def producers(self) -> dict[str, Node]:
        """Map each tensor to the node that produces it."""
        return {node.output: node for node in self.nodes}

    def readers(self, tensor: str) -> list[Node]:
        """Return the nodes that read a tensor, in graph order."""
        return [node for node in self.nodes if tensor in node.inputs]

    def node(self, name: str) -> Node:
        """Return the node of this name, which must exist."""
        return next(node for node in self.nodes if node.name == name)

    def unused_name(self, name: str) -> str:
        """Return the first of `name`, `name_1`, `name_2`, ... that no tensor and no node uses yet."""
        taken = {*self.shapes, *(node.name for node in self.nodes)}
        numbered = (f"{name}_{number}" for number in count(1))
        return name if name not in taken else next(other for other in numbered if other not in taken)

    def uses(self) -> Counter[str]:
        """Count how often each tensor is read; being the graph's output counts as one more read."""
        reads = Counter(name for node in self.nodes for name in node.inputs)
        reads[self.output] += 1
        return reads

    def with_nodes(self, nodes: Iterable[Node], new_shapes: Mapping[str, Shape] | None = None) -> Graph:
        """Return the same graph with other nodes, without the shapes of tensors that no longer exist.

        Args:
            nodes: the new nodes, in topological order.
            new_shapes: the shapes of tensors that are new or whose shape has changed.
        """
        kept = tuple(nodes)
        alive = {self.input, self.output} | {node.output for node in kept}
        shapes = {**self.shapes, **(new_shapes or {})}
        return replace(self, nodes=kept, shapes={name: s for name, s in shapes.items() if name in alive})


def drop_unused(graph: Graph) -> Graph:
    """Remove the nodes that the output does not depend on."""
    needed, nodes = {graph.output}, []
    for node in reversed(graph.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            nodes.append(node)
    return graph.with_nodes(reversed(nodes))


@dataclass(frozen=True)
class Node:
    """One step: an operator, the tensors it reads and the one tensor it produces."""

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True)
class PixelEncoding:
    """The real number that a uint8 pixel q stands for: scale * (q - zero_point)."""

    scale: float = 1.0
    zero_point: int = 0


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
    """An elementwise function of one tensor.

    The kinds are relu, relu6, hard_swish, hard_sigmoid, sigmoid, tanh, gelu (with the exact erf), gelu_tanh, sqrt and
    rsqrt; erf is one too, but only until it is recognised as a part of gelu. scaled_hard_swish, the form for int8, is
    hard_swish(sqrt(6) x); see `graph.xnnpack_forms`.
    """

    kind: str


@dataclass(frozen=True)
class LeakyRelu:
    """x where it is positive, else x * slope."""

    slope: float


@dataclass(frozen=True, eq=False)
class PRelu:
    """x where it is positive, else x times the slope of its channel; slope is [C]."""

    slope: FloatArray


@dataclass(frozen=True)
class Binary:
    """An elementwise function of two tensors, with broadcasting: add, sub, mul or div (div in float only)."""

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
class Slice:
    """A part of a tensor: the values begin, begin + stride, ... before end, along each axis."""

    begin: tuple[int, ...]
    end: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Resize:
    """The picture in another height and width, by the nearest pixel or bilinear interpolation.

    Attributes:
        kind: nearest or bilinear.
        size: the new height and width.
        align_corners: the corner pixels' centres keep their places.
        half_pixel: pixel i has its centre at i + 0.5; without both, its upper left corner is at i.
    """

    kind: str
    size: tuple[int, int]
    align_corners: bool = False
    half_pixel: bool = False


@dataclass(frozen=True)
class Softmax:
    """Softmax along the last axis, or its logarithm, which only a network's last operator may be."""

    log: bool = False


@dataclass(frozen=True)
class Standardize:
    """(x - mean) / sqrt(variance + epsilon), the mean and variance taken over the axes, as layer norm does first."""

    axes: tuple[int, ...]
    epsilon: float


@dataclass(frozen=True)
class MatMul:
    """The matrix product of two tensors over their last two axes; the second may be given transposed."""

    transpose_second: bool = False


@dataclass(frozen=True)
class Reduce:
    """The mean or the sum over some axes, which keep the size 1."""

    kind: str
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class WithConstant:
    """A tensor combined with a constant that differs between positions, such as a transformer's embedding.

    Attributes:
        kind: add, mul, or concat: the constant stands before the tensor.
        value: a batch of one, broadcast by add and mul.
        axis: of the concatenation.
    """

    kind: str
    value: FloatArray
    axis: int = 0


Operator = (
    Conv2D
    | DepthwiseConv2D
    | FullyConnected
    | Affine
    | Unary
    | LeakyRelu
    | PRelu
    | Binary
    | Pool
    | Mean
    | Pad
    | Concat
    | Reshape
    | Transpose
    | Slice
    | Resize
    | Softmax
    | Standardize
    | MatMul
    | Reduce
    | WithConstant
)
Windowed = Conv2D | DepthwiseConv2D | Pool
Weighted = Conv2D | DepthwiseConv2D | FullyConnected
WINDOWED = (Conv2D, DepthwiseConv2D, Pool)
WEIGHTED = (Conv2D, DepthwiseConv2D, FullyConnected)
FUSING = (Conv2D, DepthwiseConv2D, FullyConnected, Binary)
"""The operators that can apply an activation to their own result."""
MOVING = (Pad, Pool, Reshape, Transpose, Concat, Slice, Resize)
"""The operators that move values without rescaling them, so that in int8 their inputs and output share one encoding."""
FLOAT_ONLY = (Standardize, MatMul, Reduce, WithConstant)
"""The operators that are computed in float32 also in an int8 file: int8 has no exact kernel for them, or one that
loses far more accuracy than their small share of the work is worth."""


def float_only(node: Node) -> bool:
    """Return whether the node is computed in float32 also in an int8 file."""
    operator = node.operator
    return isinstance(operator, FLOAT_ONLY) or getattr(operator, "kind", "") in ("div", "sqrt", "rsqrt")


def output_axis(operator: Weighted) -> int:
    """Return the weight's output channel axis: the last for a depthwise convolution, else the first."""
    return 3 if isinstance(operator, DepthwiseConv2D) else 0


def per_channel(operator: Weighted, vector: NDArray) -> NDArray:
    """Return a vector [O] reshaped so that it broadcasts over the operator's weight."""
    shape = [1] * operator.weight.ndim
    shape[output_axis(operator)] = -1
    return vector.reshape(shape)


def mixes_channels(node: Node) -> bool:
    """Return whether every output channel of the node, a layer with weights, reads all input channels."""
    operator = node.operator
    return isinstance(operator, FullyConnected) or (isinstance(operator, Conv2D) and operator.groups == 1)


def with_constants(node: Node, weight: NDArray, bias: NDArray) -> Node:
    """Return the weighted node with other weights and biases, converted to float32."""
    operator = node.operator
    assert isinstance(operator, WEIGHTED)
    changed = replace(
        operator, weight=weight.astype(np.float32, copy=False), bias=bias.astype(np.float32, copy=False)
    )
    return replace(node, operator=changed)
