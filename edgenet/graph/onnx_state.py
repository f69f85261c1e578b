"""The state of reading an ONNX model: computed values with their axis order, constants, the graph so far.

ONNX works on NCHW, the graph on NHWC. Instead of writing transposes and removing them later, every ONNX value
remembers the graph axis of each of its axes. An ONNX Transpose then costs nothing, and the graph gets one
only if an operator really needs the numbers in another order.

The graph's first axis is always the photo. An ONNX value whose own first axis is larger, such as one of windows
[windows, positions, channels], has one more axis in the graph, [1, windows, positions, channels].
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.ir import FloatArray, Operator, Reshape, Shape, Transpose
from edgenet.graph.shapes import GraphBuilder
from edgenet.graph.simplify import count_not_finite

Array = NDArray[Any]
NCHW = (0, 3, 1, 2)
"""The graph axis of each ONNX axis of a picture."""


@dataclass(frozen=True)
class Value:
    """An ONNX value that is computed at inference, in contrast to a constant.

    Attributes:
        tensor: its name in the graph.
        axes: ONNX axis i is graph axis axes[i]. Graph axis 0 may be missing here; its size is then 1.
        flattened: the (C, H, W) of a picture that was flattened to [1, C * H * W] in the graph's order H, W,
            C, while ONNX expects the order C, H, W; else None.
    """

    tensor: str
    axes: tuple[int, ...]
    flattened: Shape | None = None

    def to_graph_order(self, features: Array) -> Array:
        """Reorder constants, one per feature along the last axis, from ONNX's order to the graph's."""
        if self.flattened is None:
            return features
        picture = features.reshape(*features.shape[:-1], *self.flattened)
        return np.moveaxis(picture, -3, -1).reshape(features.shape)


@dataclass(frozen=True)
class OnnxNode:
    """One ONNX node with its attributes as Python values."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return an attribute that is a list of integers."""
        return tuple(int(i) for i in self.attributes.get(name, default))

    def integer(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        return int(self.attributes.get(name, default))

    def number(self, name: str, default: float) -> float:
        """Return an attribute that is a float."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a string."""
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else str(value)


@dataclass
class OnnxReadState:
    """The state of reading one model.

    Attributes:
        builder: collects the graph's nodes.
        values: the computed ONNX values so far, by ONNX name.
        constants: the known ONNX constants, by ONNX name.
    """

    builder: GraphBuilder
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, node: OnnxNode, operator: Operator, inputs: list[str], suffix: str = "") -> str:
        """Add one operator to the graph, named after the ONNX node; return its output tensor."""
        return self.builder.add(operator, inputs, node.name + suffix)

    def value(self, node: OnnxNode, position: int = 0) -> Value:
        """Return the computed value at an input; refuse a constant."""
        name = node.inputs[position]
        if name in self.constants:
            raise self.refusal(node, f"its input {position} is a constant where a computed value is expected")
        if name not in self.values:
            raise self.refusal(node, f"no earlier node makes its input '{name}'")
        return self.values[name]

    def unflattened(self, node: OnnxNode, position: int = 0) -> Value:
        """Return the computed value at an input; a flattened picture gets its features in ONNX's order."""
        value = self.value(node, position)
        return value if value.flattened is None else self.in_order(node, value, onnx_order(value))

    def constant(self, node: OnnxNode, position: int) -> Array | None:
        """Return the constant at an input, None if the optional input is absent; refuse a computed value."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        name = node.inputs[position]
        if name not in self.constants:
            raise self.refusal(node, f"its input '{name}' is computed where a constant is expected")
        return self.constants[name]

    def weights(self, node: OnnxNode, position: int) -> FloatArray:
        """Return a required constant as float32; refuse NaN and infinity."""
        constant = self.constant(node, position)
        if constant is None:
            raise self.refusal(node, f"its input {position} is missing")
        array = np.asarray(constant, np.float32)
        bad = count_not_finite(array)
        if bad:
            found = f"its constant '{node.inputs[position]}' holds {bad} among {array.size} values"
            raise self.refusal(node, found, "check the weights")
        return array

    def whole_numbers(self, node: OnnxNode, position: int, attribute: str) -> tuple[int, ...]:
        """Return a list of integers: a constant input in newer ONNX, an attribute in older, else empty."""
        constant = self.constant(node, position)
        if constant is None:
            return node.integers(attribute, ())
        return tuple(int(n) for n in constant.ravel())

    def shape(self, value: Value) -> Shape:
        """Return the value's shape in ONNX's axis order."""
        shape = self.builder.shapes[value.tensor]
        return tuple(shape[axis] for axis in value.axes)

    def picture(self, node: OnnxNode, position: int = 0) -> str:
        """Return the NHWC graph tensor of an input that must be a picture [1, C, H, W] in ONNX."""
        return self.in_order(node, self.four_axes(node, position), NCHW).tensor

    def four_axes(self, node: OnnxNode, position: int = 0) -> Value:
        """Return an input that must have the four axes of a picture, in any order."""
        value = self.value(node, position)
        if len(value.axes) != 4:
            raise self.refusal(node, f"its input has {len(value.axes)} axes where a picture has 4")
        return value

    def in_order(self, node: OnnxNode, value: Value, axes: tuple[int, ...]) -> Value:
        """Return the value with these axes, after a Transpose if it has others."""
        if value.flattened is not None:
            value = self._unflatten(node, value)
        if value.axes == axes:
            return value
        if sorted(value.axes) != sorted(axes):
            raise self.refusal(node, "its inputs have different numbers of axes")
        # graph axis axes[i] must be ONNX axis i, which is graph axis value.axes[i]
        moved = dict(zip(axes, value.axes, strict=True))
        rank = len(self.builder.shapes[value.tensor])
        return Value(self.transposed(node, value.tensor, tuple(moved.get(g, g) for g in range(rank))), axes)

    def transposed(self, node: OnnxNode, tensor: str, permutation: tuple[int, ...]) -> str:
        """Add a Transpose, or a Reshape if only axes of size 1 move."""
        before = self.builder.shapes[tensor]
        moved = [axis for axis in permutation if before[axis] > 1]
        if moved == sorted(moved):
            return self.add(node, Reshape(tuple(before[axis] for axis in permutation)), [tensor], "/reshape")
        return self.add(node, Transpose(permutation), [tensor], "/transpose")

    def _unflatten(self, node: OnnxNode, value: Value) -> Value:
        """Return a flattened picture with its features in ONNX's order."""
        assert value.flattened is not None
        channels, height, width = value.flattened
        features = self.builder.shapes[value.tensor]
        picture = self.add(node, Reshape((1, height, width, channels)), [value.tensor], "/picture")
        transposed = self.transposed(node, picture, NCHW)
        return Value(self.add(node, Reshape(features), [transposed], "/flat"), value.axes)

    def refusal(self, node: OnnxNode, why: str, remedy: str = "") -> EdgenetError:
        """Return the error for an unsupported node; it names the node, its operator and its input shapes."""
        shapes = [list(self.shape(self.values[name])) for name in node.inputs if name in self.values]
        of = f" with input {', '.join(str(shape) for shape in shapes)}" if shapes else ""
        return EdgenetError(f"cannot read node '{node.name}', a {node.op_type}{of}: {why}", remedy)


def reshape(state: OnnxReadState, node: OnnxNode, value: Value, target: Shape) -> Value:
    """Reshape a value to a target shape in ONNX's axis order.

    Flattening a picture keeps the numbers in NHWC without a Transpose. Any other reshape only joins and splits axes,
    and needs a Transpose only where it joins axes that do not follow each other in the graph.
    """
    shape = state.shape(value)
    if math.prod(target) != math.prod(shape):
        raise state.refusal(node, f"a reshape to {list(target)} changes the number of values")
    if target == shape:
        return value
    if value.axes == NCHW and target == (1, math.prod(shape)):
        _, channels, height, width = shape
        flat = state.add(node, Reshape(target), [value.tensor])
        return Value(flat, (0, 1), (channels, height, width) if channels > 1 < height * width else None)
    if value.flattened is not None:
        value = state.in_order(node, value, onnx_order(value))
    groups = sorted(_groups(shape, target), key=lambda group: min(value.axes[axis] for axis in group[0]))
    joined = [value.axes[axis] for sources, _ in groups for axis in sources]
    rest = [axis for axis in range(len(state.builder.shapes[value.tensor])) if axis not in joined]
    tensor = (
        state.transposed(node, value.tensor, (*rest, *joined)) if joined != sorted(joined) else value.tensor
    )
    return _regrouped(state, node, tensor, target, [axis for _, targets in groups for axis in targets])


def _groups(shape: Shape, target: Shape) -> list[tuple[list[int], list[int]]]:
    """Return the axes of `shape` that together become axes of `target`, in the smallest groups; size 1 is left out."""
    left = [axis for axis, n in enumerate(shape) if n > 1]
    right = [axis for axis, n in enumerate(target) if n > 1]
    groups: list[tuple[list[int], list[int]]] = []
    while left:
        sources, targets = [left.pop(0)], [right.pop(0)]
        have, wanted = shape[sources[0]], target[targets[0]]
        while have != wanted:
            if have < wanted:
                sources.append(left.pop(0))
                have *= shape[sources[-1]]
            else:
                targets.append(right.pop(0))
                wanted *= target[targets[-1]]
        groups.append((sources, targets))
    return groups


def _regrouped(state: OnnxReadState, node: OnnxNode, tensor: str, target: Shape, order: list[int]) -> Value:
    """Add a Reshape whose axes larger than 1 have this order; axes of size 1 come first, as the photo's axis does."""
    ones = [axis for axis, n in enumerate(target) if n == 1]
    if not (ones and ones[0] == 0):
        ones = [-1, *ones]  # the photo's axis, which ONNX does not have here
    layout = [*ones, *order]
    shape = tuple(1 if axis < 0 else target[axis] for axis in layout)
    if shape != state.builder.shapes[tensor]:
        tensor = state.add(node, Reshape(shape), [tensor])
    return Value(tensor, tuple(layout.index(axis) for axis in range(len(target))))


def as_score_vector(state: OnnxReadState, value: Value, what: str, name: str) -> str:
    """Return the graph tensor [1, N] of a model's output; the output may have more axes of size 1.

    Args:
        state: the reading so far.
        value: the output.
        what: how error messages call the output.
        name: the name for a reshape node, if one is needed.

    Raises:
        EdgenetError: the output is not a vector.
    """
    shape = state.shape(value)
    if not shape or math.prod(shape) != max(shape):
        raise EdgenetError(f"{what} has the shape {list(shape)}", "edgenet takes classifiers: [1, classes]")
    node = OnnxNode(f"{name}/flat", "output", (), (), {})
    if value.flattened is not None:
        value = state.in_order(node, value, onnx_order(value))
    flat = (1, math.prod(shape))
    if state.builder.shapes[value.tensor] == flat:
        return value.tensor
    return state.add(node, Reshape(flat), [value.tensor])


def onnx_order(value: Value) -> tuple[int, ...]:
    """Return the axes that the value would have if its graph axes were in ONNX's order."""
    return tuple(sorted(value.axes))


def common_order(values: list[Value]) -> tuple[int, ...]:
    """Return the axes in which values of the same rank are combined: a picture's if one is, else the first's."""
    return NCHW if any(value.axes == NCHW for value in values) else values[0].axes
