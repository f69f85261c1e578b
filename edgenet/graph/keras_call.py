"""One call of a Keras layer while a model is read, with its activation, and the state that all calls share.

Activations are layers of their own or named by the layer before them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgenet.errors import EdgenetError, one_line
from edgenet.graph.ir import Affine, Binary, FloatArray, LeakyRelu, Operator, PRelu, Shape, Softmax, Unary
from edgenet.graph.keras_file import KerasFile, LayerPlace
from edgenet.graph.shapes import GraphBuilder
from edgenet.graph.simplify import count_not_finite


@dataclass
class KerasReadState:
    """The state of reading one model.

    Attributes:
        file: the model's file.
        builder: collects the graph's nodes.
        picture: the tensor that the model takes: the graph's input, or a grey picture made of it.
        scales_pixels: whether a layer that scales numbers reads the picture itself, as Rescaling does.
    """

    file: KerasFile
    builder: GraphBuilder
    picture: str
    scales_pixels: bool = False

    @property
    def is_keras_3(self) -> bool:
        """Return whether Keras 3 wrote the file; some layers mean something else in Keras 2."""
        return self.file.version.startswith("3")


@dataclass(frozen=True)
class KerasTensor:
    """A tensor of the graph, in contrast to a constant argument."""

    name: str


@dataclass(frozen=True)
class KerasCall:
    """One call of a layer.

    Attributes:
        state: the reading so far.
        kind: the layer's class, such as "Conv2D".
        config: the layer's configuration.
        place: where the layer stands in the model.
        operands: what it is called with: tensors, and constants in the case of arithmetic.
        arguments: the call's named arguments.
    """

    state: KerasReadState
    kind: str
    config: Mapping[str, Any]
    place: LayerPlace
    operands: tuple[Any, ...]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[str]:
        """Return the graph tensors that the layer reads."""
        return [operand.name for operand in self.operands if isinstance(operand, KerasTensor)]

    @property
    def tensor(self) -> str:
        """Return the only tensor that the layer reads."""
        if len(self.tensors) != 1:
            raise self.refusal(f"it reads {len(self.tensors)} tensors instead of one")
        return self.tensors[0]

    @property
    def shape(self) -> Shape:
        """Return the shape of the only tensor that the layer reads."""
        return self.state.builder.shapes[self.tensor]

    @property
    def picture(self) -> Shape:
        """Return the shape [1, H, W, C] of the only tensor that the layer reads, which must be a picture."""
        if len(self.shape) != 4:
            raise self.refusal("it takes no picture")
        return self.shape

    def add(self, operator: Operator, inputs: Sequence[str] | None = None, suffix: str = "") -> str:
        """Add one operator to the graph, named after the layer; return its output tensor."""
        given = [self.tensor] if inputs is None else list(inputs)
        return self.state.builder.add(operator, given, self.place.names[-1] + suffix)

    def weights(self, *variables: str) -> list[FloatArray]:
        """Return the layer's weights by the names that Keras gives them (see `KerasFile.arrays`); refuse NaN."""
        arrays = self.state.file.arrays(self.place, variables)
        for variable, array in zip(variables, arrays, strict=True):
            if bad := count_not_finite(array):
                found = f"its {variable.split('|')[0]} holds {bad} among {array.size} values"
                raise self.refusal(found, "check the weights; its training may have diverged")
        return arrays

    def number(self, name: str, default: float) -> float:
        """Return a number of the configuration; null counts as absent."""
        value = self.config.get(name)
        return default if value is None else float(value)

    def text(self, name: str, default: str) -> str:
        """Return a text of the configuration."""
        return str(self.config.get(name) or default)

    def pair(self, name: str, default: Any = 1) -> tuple[int, int]:
        """Return one number each for height and width."""
        value = self.config.get(name)
        value = default if value is None else value
        height, width = (value, value) if isinstance(value, int) else value
        return int(height), int(width)

    def need(self, name: str, *allowed: Any) -> None:
        """Refuse a value of the configuration that is not among those allowed; an absent one is."""
        value = self.config.get(name, allowed[0])
        if value not in allowed:
            raise self.refusal(f"its {name} is {value}", f"edgenet takes {' or '.join(map(str, allowed))}")

    def constant(self, value: Any) -> FloatArray:
        """Return a constant argument as one number, or one for each channel."""
        if isinstance(value, dict):  # Keras 3 writes arrays as {"class_name": "__numpy__", "config": {...}}
            value = value["config"]["value"]
        array = np.asarray(value, np.float32)
        if array.size != 1 and array.size != array.shape[-1]:
            raise self.refusal("its constant varies over the picture")
        return array.reshape(-1)

    def refusal(self, why: str, remedy: str = "") -> EdgenetError:
        """Return the error for a layer that is not supported; it names the layer, its class and its inputs."""
        shapes = ", ".join(str(list(self.state.builder.shapes[tensor])) for tensor in self.tensors)
        of = f" with input {shapes}" if shapes else ""
        name, kind = one_line(self.place.names[-1], 80), one_line(self.kind, 80)
        return EdgenetError(f"cannot read the layer '{name}', a {kind}{of}: {why}", remedy or EXPORT)


EXPORT = "convert it to a float .tflite with TensorFlow and give that"
"""The way out for a layer that edgenet cannot read in a Keras file."""


def activate(call: KerasCall, tensor: str, activation: Any) -> str:
    """Return the tensor after an activation as a layer's configuration states it: by name or as a layer."""
    if activation is None:
        return tensor
    after = replace(call, operands=(KerasTensor(tensor),))
    if isinstance(activation, dict):
        if activation.get("class_name") in ("function", "Custom>function"):
            activation = activation["config"]
        else:
            inner = replace(after, kind=str(activation["class_name"]), config=activation["config"])
            return _rule(inner, LAYERS, inner.kind)(inner)
    # Keras 2 writes a function that somebody registered as "package>name".
    return _rule(after, FUNCTIONS, str(activation))(after)


def _rule(call: KerasCall, rules: dict[str, Rule], name: str) -> Rule:
    if name not in rules:
        raise call.refusal(f"its activation is {name}", f"edgenet takes {', '.join(sorted(FUNCTIONS))}")
    return rules[name]


def activation(call: KerasCall) -> str:
    """Translate the layer Activation."""
    return activate(call, call.tensor, call.config["activation"])


Rule = Callable[[KerasCall], str]


def unary(kind: str) -> Rule:
    """Return the rule for an elementwise function."""
    return lambda call: call.add(Unary(kind))


def hard_sigmoid(call: KerasCall) -> str:
    """Translate hard_sigmoid: relu6(x + 3) / 6 in Keras 3, clip(0.2 x + 0.5, 0, 1) before.

    The slope of 0.2 is that of the other at 1.2 x.
    """
    tensor = call.tensor
    if not call.state.is_keras_3:
        tensor = call.add(Affine(np.full(1, 1.2, np.float32), np.zeros(1, np.float32)), suffix="/slope")
    return call.add(Unary("hard_sigmoid"), [tensor], "/hard_sigmoid")


def swish(call: KerasCall) -> str:
    """Translate swish (silu): x * sigmoid(x)."""
    sigmoid = call.add(Unary("sigmoid"), suffix="/sigmoid")
    return call.add(Binary("mul"), [call.tensor, sigmoid])


def softmax(call: KerasCall) -> str:
    """Translate softmax over the last axis."""
    axis = call.config.get("axis", -1) if call.kind == "Softmax" else -1
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, len(call.shape) - 1):
        raise call.refusal(f"it works along the axis {axis}", "apply softmax to the classes only")
    return call.add(Softmax())


def relu_layer(call: KerasCall) -> str:
    """Translate the layer ReLU with its optional ceiling and negative slope."""
    ceiling = call.config.get("max_value")
    slope = call.number("negative_slope", 0)
    if call.number("threshold", 0) != 0 or ceiling not in (None, 6) or (slope and ceiling is not None):
        raise call.refusal(
            f"its ceiling is {ceiling}, its slope {slope:g} and its threshold {call.number('threshold', 0):g}",
            "edgenet takes ReLU, ReLU6 and LeakyReLU",
        )
    if slope:
        return call.add(LeakyRelu(slope))
    return call.add(Unary("relu" if ceiling is None else "relu6"))


def leaky_relu(call: KerasCall) -> str:
    """Translate the layer or function LeakyReLU; the layer's slope is 0.3 unless it says otherwise."""
    is_layer = call.kind == "LeakyReLU"
    slope = call.number("negative_slope", call.number("alpha", 0.3)) if is_layer else 0.2
    return call.add(LeakyRelu(slope))


def prelu(call: KerasCall) -> str:
    """Translate PReLU with one slope for each channel."""
    (slope,) = call.weights("alpha")
    if slope.size != slope.shape[-1]:
        raise call.refusal("its slopes vary over the picture", "use PReLU(shared_axes=[1, 2])")
    return call.add(PRelu(slope.reshape(-1)))


def gelu(call: KerasCall) -> str:
    """Translate gelu, exact unless the call asks for the approximation with tanh."""
    approximate = call.arguments.get("approximate", call.config.get("approximate", False))
    return call.add(Unary("gelu_tanh" if approximate else "gelu"))


FUNCTIONS: dict[str, Rule] = {
    "linear": lambda call: call.tensor,
    **{kind: unary(kind) for kind in ("relu", "relu6", "sigmoid", "tanh")},
    "hard_sigmoid": hard_sigmoid,
    **dict.fromkeys(("hard_swish", "hard_silu"), unary("hard_swish")),
    **dict.fromkeys(("swish", "silu"), swish),
    "softmax": softmax,
    "gelu": gelu,
    "leaky_relu": leaky_relu,
}
"""The activations by the name that a layer's configuration gives them."""
LAYERS: dict[str, Rule] = {
    "Activation": activation,
    "ReLU": relu_layer,
    "LeakyReLU": leaky_relu,
    "PReLU": prelu,
    "Softmax": softmax,
}
"""The activations that are layers of their own."""
