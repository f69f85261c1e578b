"""What the ONNX reader keeps while it walks a model: values with their layout, constants, the graph so far.

ONNX works on NCHW, the graph on NHWC. Instead of writing transposes and removing them later, every ONNX value remembers
which graph axis each of its axes is. A Transpose then costs nothing, and one is only written where an
operator truly needs another order of the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.builder import GraphBuilder
from edgenet.graph.ir import Shape
from edgenet.graph.operators import FloatArray, Operator, Reshape, Transpose
from edgenet.graph.passes.finite import count_not_finite

Array = NDArray[Any]
NCHW = (0, 3, 1, 2)
"""Graph axis of each ONNX axis of a picture."""


@dataclass(frozen=True)
class Value:
    """An ONNX value that is computed on the device.

    Attributes:
        tensor: its name in the graph.
        axes: ONNX axis i is graph axis axes[i].
        flattened: for features [1, C * H * W] that lie in the graph's order, H before W before C, the (C, H, W) of the
            picture; ONNX means them in the order C, H, W.
    """

    tensor: str
    axes: tuple[int, ...]
    flattened: Shape | None = None

    def to_graph_order(self, features: Array) -> Array:
        """Constants along the last axis, one for each feature, put into the graph's order."""
        if self.flattened is None:
            return features
        picture = features.reshape(*features.shape[:-1], *self.flattened)
        return np.moveaxis(picture, -3, -1).reshape(features.shape)


@dataclass(frozen=True)
class OnnxNode:
    """One ONNX node with its attributes as Python values."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        return tuple(int(i) for i in self.attributes.get(name, default))

    def integer(self, name: str, default: int) -> int:
        """An attribute that is an integer."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """An attribute that is a float."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """An attribute that is a string."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)


@dataclass
class Translation:
    """The state of one reading."""

    builder: GraphBuilder
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, node: OnnxNode, operator: Operator, inputs: list[str], suffix: str = "") -> str:
        """Writes one operator into the graph, named after the ONNX node."""
        return self.builder.add(operator, inputs, node.name + suffix)

    def value(self, node: OnnxNode, position: int = 0) -> Value:
        """The computed value at an input; refuses a constant."""
        name = node.inputs[position]
        if name in self.constants:
            raise self.refuse(node, f"its input {position} is a constant where a computed value is expected")
        if name not in self.values:
            raise self.refuse(node, f"its input '{name}' is made by no node before it")
        return self.values[name]

    def constant(self, node: OnnxNode, position: int) -> Array | None:
        """The constant at an input, None where the optional input is absent; refuses a computed value."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        name = node.inputs[position]
        if name not in self.constants:
            raise self.refuse(node, f"its input '{name}' is computed where a constant is expected")
        return self.constants[name]

    def weights(self, node: OnnxNode, position: int) -> FloatArray:
        """A constant that must be there, as finite float32."""
        constant = self.constant(node, position)
        if constant is None:
            raise self.refuse(node, f"its input {position} is missing")
        array = np.asarray(constant, np.float32)
        bad = count_not_finite(array)
        if bad:
            found = f"its constant '{node.inputs[position]}' holds {bad} among {array.size} values"
            raise self.refuse(node, found, "check the weights")
        return array

    def whole_numbers(self, node: OnnxNode, position: int, attribute: str) -> tuple[int, ...]:
        """A list of integers: a constant input in newer ONNX, an attribute in older; empty where neither is there."""
        constant = self.constant(node, position)
        if constant is None:
            return node.integers(attribute, ())
        return tuple(int(n) for n in constant.ravel())

    def shape(self, value: Value) -> Shape:
        """The shape as ONNX sees it."""
        shape = self.builder.shapes[value.tensor]
        return tuple(shape[axis] for axis in value.axes)

    def picture(self, node: OnnxNode, position: int = 0) -> str:
        """The graph tensor of an input that must be a picture [1, C, H, W], in NHWC."""
        return self.in_order(node, self.four_axes(node, position), NCHW).tensor

    def four_axes(self, node: OnnxNode, position: int = 0) -> Value:
        """An input that must have the four axes of a picture, in whatever order."""
        value = self.value(node, position)
        if len(value.axes) != 4:
            raise self.refuse(node, f"its input has {len(value.axes)} axes where a picture has 4")
        return value

    def in_order(self, node: OnnxNode, value: Value, axes: tuple[int, ...]) -> Value:
        """The value with these axes, through a Transpose where it has others."""
        if value.flattened is not None:
            value = self._unflatten(node, value)
        if value.axes == axes:
            return value
        # graph axis axes[i] must be ONNX axis i, which is graph axis value.axes[i]
        permutation = tuple(value.axes[axes.index(axis)] for axis in range(len(axes)))
        return Value(self._transposed(node, value.tensor, permutation), axes)

    def _transposed(self, node: OnnxNode, tensor: str, permutation: tuple[int, ...]) -> str:
        """A Transpose, or a Reshape where only axes of one move."""
        before = self.builder.shapes[tensor]
        moved = [axis for axis in permutation if before[axis] > 1]
        if moved == sorted(moved):
            return self.add(node, Reshape(tuple(before[axis] for axis in permutation)), [tensor], "/reshape")
        return self.add(node, Transpose(permutation), [tensor], "/transpose")

    def _unflatten(self, node: OnnxNode, value: Value) -> Value:
        """A flattened picture with its features in ONNX's order."""
        assert value.flattened is not None
        channels, height, width = value.flattened
        features = self.builder.shapes[value.tensor]
        picture = self.add(node, Reshape((1, height, width, channels)), [value.tensor], "/picture")
        turned = self._transposed(node, picture, NCHW)
        return Value(self.add(node, Reshape(features), [turned], "/flat"), value.axes)

    def refuse(self, node: OnnxNode, why: str, remedy: str = "") -> EdgenetError:
        """The error for a node that cannot be taken: names it, its operator and its shapes."""
        shapes = [list(self.shape(self.values[name])) for name in node.inputs if name in self.values]
        of = f" with input {', '.join(str(shape) for shape in shapes)}" if shapes else ""
        return EdgenetError(f"cannot read node '{node.name}', a {node.kind}{of}: {why}", remedy)


def scores(state: Translation, value: Value, what: str, name: str) -> str:
    """The graph tensor [1, N] of a model's output, which may have axes of one besides.

    Args:
        what: the output in errors.
        name: the output, for a step that it may need.

    Raises:
        EdgenetError: it is no vector.
    """
    shape = state.shape(value)
    if not shape or math.prod(shape) != max(shape):
        raise EdgenetError(f"{what} has the shape {list(shape)}", "edgenet takes classifiers: [1, classes]")
    node = OnnxNode(f"{name}/flat", "output", (), (), {})
    if value.flattened is not None:
        value = state.in_order(node, value, natural(value))
    flat = (1, math.prod(shape))
    if state.builder.shapes[value.tensor] == flat:
        return value.tensor
    return state.add(node, Reshape(flat), [value.tensor])


def natural(value: Value) -> tuple[int, ...]:
    """The axes of a value whose numbers lie as ONNX has them."""
    return tuple(range(len(value.axes)))


def reshape(state: Translation, node: OnnxNode, value: Value, target: Shape) -> Value:
    """The value in another shape, given as ONNX sees it; keeps NHWC for flattening and for adding axes of one."""
    shape = state.shape(value)
    if math.prod(target) != math.prod(shape):
        raise state.refuse(node, f"a reshape to {list(target)} changes how many values there are")
    if target == shape:
        return value
    if value.axes == NCHW and target == (1, math.prod(shape)):
        _, channels, height, width = shape
        flat = state.add(node, Reshape(target), [value.tensor])
        return Value(flat, (0, 1), (channels, height, width) if channels > 1 < height * width else None)
    if len(shape) == 2 and target == (*shape, 1, 1) and value.axes == (0, 1) and value.flattened is None:
        return Value(state.add(node, Reshape((shape[0], 1, 1, shape[1])), [value.tensor]), NCHW)
    plain = state.in_order(node, value, natural(value))
    return Value(state.add(node, Reshape(target), [plain.tensor]), tuple(range(len(target))))
