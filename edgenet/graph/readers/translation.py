"""What the ONNX reader keeps while it walks a model: values with their layout, constants, the graph so far.

ONNX works on NCHW, the graph on NHWC. Instead of writing transposes and removing them later, every ONNX value remembers
which graph axis each of its axes is. A Transpose then costs nothing, and one is only written where an
operator truly needs another order of the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.builder import GraphBuilder
from edgenet.graph.ir import Shape
from edgenet.graph.operators import Operator, Reshape, Transpose

Array = NDArray[np.generic]
NCHW = (0, 3, 1, 2)
"""Graph axis of each ONNX axis of a picture."""


@dataclass(frozen=True)
class Value:
    """An ONNX value that is computed on the device.

    Attributes:
        tensor: its name in the graph.
        axes: ONNX axis i is graph axis axes[i].
        features: for a picture flattened in ONNX's order, ONNX feature j is graph feature features[j].
    """

    tensor: str
    axes: tuple[int, ...]
    features: tuple[int, ...] | None = None


@dataclass(frozen=True)
class OnnxNode:
    """One ONNX node with its attributes as Python values."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, object]

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute that is a list of integers."""
        return tuple(int(i) for i in self.attributes.get(name, default))  # type: ignore[attr-defined]

    def integer(self, name: str, default: int) -> int:
        """An attribute that is an integer."""
        return int(self.attributes.get(name, default))  # type: ignore[call-overload, no-any-return]

    def number(self, name: str, default: float) -> float:
        """An attribute that is a float."""
        return float(self.attributes.get(name, default))  # type: ignore[arg-type]

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
        if name not in self.values:
            raise self.refuse(node, f"its input {position} is a constant where a computed value is expected")
        return self.values[name]

    def constant(self, node: OnnxNode, position: int) -> Array | None:
        """The constant at an input, None where the optional input is absent; refuses a computed value."""
        if position >= len(node.inputs) or not node.inputs[position]:
            return None
        name = node.inputs[position]
        if name not in self.constants:
            raise self.refuse(node, f"its input '{name}' is computed where a constant is expected")
        return self.constants[name]

    def weights(self, node: OnnxNode, position: int) -> NDArray[np.float32]:
        """A constant that must be there, as float32."""
        constant = self.constant(node, position)
        if constant is None:
            raise self.refuse(node, f"its input {position} is missing")
        return np.asarray(constant, np.float32)

    def shape(self, value: Value) -> Shape:
        """The shape as ONNX sees it."""
        shape = self.builder.shapes[value.tensor]
        return tuple(shape[axis] for axis in value.axes)

    def picture(self, node: OnnxNode, position: int = 0) -> str:
        """The graph tensor of an input that must be a picture [1, C, H, W], in NHWC."""
        value = self.value(node, position)
        if len(value.axes) != 4:
            raise self.refuse(node, f"its input has {len(value.axes)} axes where a picture has 4")
        return self.in_order(node, value, NCHW).tensor

    def in_order(self, node: OnnxNode, value: Value, axes: tuple[int, ...]) -> Value:
        """The value with these axes, through a Transpose where it has others."""
        if value.features is not None:
            value = self._in_onnx_order(node, value)
        if value.axes == axes:
            return value
        # graph' axis axes[i] must be ONNX axis i, which is graph axis value.axes[i]
        permutation = tuple(value.axes[axes.index(axis)] for axis in range(len(axes)))
        moved = [axis for axis in permutation if self.builder.shapes[value.tensor][axis] > 1]
        if moved == sorted(moved):
            shape = tuple(self.builder.shapes[value.tensor][axis] for axis in permutation)
            return Value(self.add(node, Reshape(shape), [value.tensor], "/reshape"), axes)
        return Value(self.add(node, Transpose(permutation), [value.tensor], "/transpose"), axes)

    def _in_onnx_order(self, node: OnnxNode, value: Value) -> Value:
        """A flattened picture whose features are put into ONNX's order by gathering them with a Transpose."""
        producer = next(n for n in self.builder.nodes if n.output == value.tensor)
        picture = producer.inputs[0]
        turned = self.add(node, Transpose((0, 3, 1, 2)), [picture], "/transpose")
        flat = self.add(node, Reshape(self.builder.shapes[value.tensor]), [turned], "/reshape")
        return Value(flat, value.axes)

    def refuse(self, node: OnnxNode, why: str, remedy: str = "") -> EdgenetError:
        """The error for a node that cannot be taken: names it, its operator and its shapes."""
        shapes = [list(self.shape(self.values[name])) for name in node.inputs if name in self.values]
        of = f" with input {', '.join(str(shape) for shape in shapes)}" if shapes else ""
        return EdgenetError(f"cannot read node '{node.name}', a {node.kind}{of}: {why}", remedy)


def reshape(state: Translation, node: OnnxNode, value: Value, target: Shape) -> Value:
    """The value in another shape, given as ONNX sees it; keeps NHWC for flattening and for adding axes of one."""
    shape = state.shape(value)
    if math.prod(target) != math.prod(shape):
        raise state.refuse(node, f"a reshape to {list(target)} changes how many values there are")
    if target == shape:
        return value
    if value.axes == NCHW and target == (shape[0], math.prod(shape[1:])):
        flat = state.add(node, Reshape(target), [value.tensor])
        return Value(flat, (0, 1), _flat_order(shape) if shape[2] * shape[3] > 1 and shape[1] > 1 else None)
    if len(shape) == 2 and target == (*shape, 1, 1) and value.features is None:
        return Value(state.add(node, Reshape((shape[0], 1, 1, shape[1])), [value.tensor]), NCHW)
    plain = state.in_order(node, value, tuple(range(len(shape))))
    return Value(state.add(node, Reshape(target), [plain.tensor]), tuple(range(len(target))))


def _flat_order(shape: Shape) -> tuple[int, ...]:
    _, channels, height, width = shape
    graph_index = np.arange(height * width * channels).reshape(height, width, channels)
    return tuple(int(i) for i in graph_index.transpose(2, 0, 1).ravel())
