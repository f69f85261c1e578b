"""Keras' activations, which are layers of their own or named by the layer before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from edgenet.graph.ir import Affine, Binary, LeakyRelu, PRelu, Softmax, Unary
from edgenet.graph.keras_call import KerasCall, KerasTensor


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
