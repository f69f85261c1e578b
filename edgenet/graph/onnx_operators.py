"""The ONNX operators that edgenet takes, with a rule for each, and advice for some that it does not take.

`RULES` at the end of the file lists them all. The rules for layers with weights and windows are in
`onnx_layers`; the rules here are for elementwise operators and for those that only rearrange values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Affine, Binary, Concat, LeakyRelu, PRelu, Shape, Unary, WithConstant
from edgenet.graph.onnx_layers import (
    affine,
    conv,
    gemm,
    global_pool,
    instance_normalization,
    layer_normalization,
    matmul,
    pool,
    reduce,
    softmax,
    to_graph_axes,
)
from edgenet.graph.onnx_parts import depth_to_space, expand, gather, pad, resize, slices, split
from edgenet.graph.onnx_state import (
    OnnxNode,
    OnnxReadState,
    Value,
    common_order,
    onnx_order,
    reshape,
)


def batch_normalization(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate BatchNormalization at inference: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    if node.integer("training_mode", 0):
        raise state.refusal(node, "it was exported in training mode", "call model.eval() before the export")
    value = state.value(node)
    gamma, beta, mean, variance = (state.weights(node, position) for position in range(1, 5))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma / np.sqrt(variance + np.float32(node.number("epsilon", 1e-5)))
    over_channels = (1, -1, *(1,) * (len(value.axes) - 2))
    return affine(
        state, node, value, scale.reshape(over_channels), (beta - mean * scale).reshape(over_channels)
    )


def arithmetic(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Add, Sub, Mul and Div of two computed values, or of a computed value and a constant."""
    constants = [name in state.constants for name in node.inputs]
    if not any(constants):
        return _binary(state, node)
    position = constants.index(False)
    value = state.value(node, position)
    constant = state.weights(node, 1 - position)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    match node.op_type, position:
        case "Add", _:
            return affine(state, node, value, one, constant)
        case "Mul", _:
            return affine(state, node, value, constant, zero)
        case "Sub", 0:
            return affine(state, node, value, one, -constant)
        case "Sub", 1:
            return affine(state, node, value, -one, constant)
        case "Div", 0:
            with np.errstate(divide="ignore"):
                return affine(state, node, value, 1 / constant, zero)
    raise state.refusal(node, "it divides a constant by a computed value")


def _binary(state: OnnxReadState, node: OnnxNode) -> Value:
    left, right = state.value(node, 0), state.value(node, 1)
    if len(left.axes) != len(right.axes):
        raise state.refusal(node, "its inputs have different numbers of axes")
    if left.axes != right.axes or left.flattened != right.flattened:
        order = common_order([left, right])
        left, right = state.in_order(node, left, order), state.in_order(node, right, order)
    tensor = state.add(node, Binary(node.op_type.lower()), [left.tensor, right.tensor])
    return replace(left, tensor=tensor)


def clip(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Clip: to [0, 6] as relu6, to [0, inf) as relu, and to any other bounds as one of them, rescaled."""
    low = _bound(state, node, 1, node.number("min", -np.inf))
    high = _bound(state, node, 2, node.number("max", np.inf))
    if not low < high:
        raise state.refusal(node, f"it clips to [{low:g}, {high:g}]", "export it again")
    if high > 3e38:
        return state.value(node) if low < -3e38 else _rescaled(state, node, "relu", 1, low)
    if low < -3e38:
        return _rescaled(state, node, "relu", -1, high)
    return _rescaled(state, node, "relu6", (high - low) / 6, low)


def _rescaled(state: OnnxReadState, node: OnnxNode, kind: str, scale: float, offset: float) -> Value:
    """Add f((x - offset) / scale) * scale + offset, whose scaling and shifts fold into the layers around it."""
    if (scale, offset) == (1, 0):
        return _unary(state, node, kind)
    value = _shifted(state, node, state.value(node), 1 / scale, -offset / scale, "/from")
    value = replace(value, tensor=state.add(node, Unary(kind), [value.tensor], "/clipped"))
    return _shifted(state, node, value, scale, offset)


def _shifted(
    state: OnnxReadState, node: OnnxNode, value: Value, scale: float, offset: float, suffix: str = ""
) -> Value:
    operator = Affine(np.full(1, scale, np.float32), np.full(1, offset, np.float32))
    return replace(value, tensor=state.add(node, operator, [value.tensor], suffix))


def _bound(state: OnnxReadState, node: OnnxNode, position: int, attribute: float) -> float:
    constant = state.constant(node, position)
    return attribute if constant is None else float(constant.ravel()[0])


def hard_sigmoid(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate HardSigmoid of any slope by MobileNetV3's relu6(x + 3) / 6, whose input is rescaled.

    min(max(alpha * x + beta, 0), 1) is hard_sigmoid(6 * alpha * x + 6 * beta - 3).
    """
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    value = state.value(node)
    if abs(alpha - 1 / 6) > 1e-7 or beta != 0.5:
        value = _shifted(state, node, value, 6 * alpha, 6 * beta - 3, "/rescaled")
    return replace(value, tensor=state.add(node, Unary("hard_sigmoid"), [value.tensor]))


def leaky_relu(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate LeakyRelu."""
    value = state.value(node)
    operator = LeakyRelu(float(np.float32(node.number("alpha", 0.01))))
    return replace(value, tensor=state.add(node, operator, [value.tensor]))


def prelu(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate PRelu with one slope, or one for each channel."""
    value = state.value(node)
    slopes = to_graph_axes(state, value, state.weights(node, 1))
    channels = state.builder.shapes[value.tensor][-1]
    if slopes.size not in (1, channels) or slopes.size != slopes.shape[-1]:
        raise state.refusal(node, "its slope varies over the picture", "use one slope for each channel")
    slope = np.broadcast_to(value.to_graph_order(slopes.reshape(-1)), (channels,)).copy()
    return replace(value, tensor=state.add(node, PRelu(slope), [value.tensor]))


def gelu(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Gelu, exact or with its approximation by tanh."""
    return _unary(state, node, "gelu_tanh" if node.text("approximate", "none") == "tanh" else "gelu")


def power(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate the square of a value."""
    exponent = state.constant(node, 1)
    if exponent is None or exponent.size != 1 or float(exponent.ravel()[0]) != 2:
        raise state.refusal(node, "it is not a square", "only the power of 2 is supported")
    value = state.value(node)
    return replace(value, tensor=state.add(node, Binary("mul"), [value.tensor] * 2))


def cast(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate a Cast to floating point, which keeps the value: the graph computes in float32."""
    kind = node.integer("to", 0)
    if kind not in FLOATING:
        import onnx  # it takes 20 MB of memory, and torch modules are read by these rules without it

        raise state.refusal(node, f"it casts to {onnx.TensorProto.DataType.Name(kind)}", FLOAT)
    return state.value(node)


FLOATING = (
    1,  # FLOAT
    10,  # FLOAT16
    11,  # DOUBLE
    16,  # BFLOAT16
)
"""The numbers of the floating-point types in onnx.proto's TensorProto.DataType."""


def unary(kind: str) -> Callable[[OnnxReadState, OnnxNode], Value]:
    """Return the rule for an elementwise function without attributes."""
    return lambda state, node: _unary(state, node, kind)


def _unary(state: OnnxReadState, node: OnnxNode, kind: str) -> Value:
    value = state.value(node)
    return replace(value, tensor=state.add(node, Unary(kind), [value.tensor]))


def identity(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Identity, and Dropout, which does nothing at inference."""
    training = state.constant(node, 2)
    if training is not None and training.any():
        raise state.refusal(node, "it was exported in training mode", "call model.eval() before the export")
    return state.value(node)


def concat(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Concat of computed values, and of a constant before a computed value, as a class token."""
    names = [name for name in node.inputs if name]
    if len(names) == 2 and names[0] in state.constants:
        return _behind_constant(state, node)
    values = [state.value(node, position) for position in range(len(node.inputs))]
    order = common_order(values) if values[0].flattened is None else onnx_order(values[0])
    if any(len(value.axes) != len(order) for value in values):
        raise state.refusal(node, "its inputs have different numbers of axes")
    values = [state.in_order(node, value, order) for value in values]
    if len(values) == 1:
        return values[0]
    axis = order[node.integer("axis", 0) % len(order)]
    return Value(state.add(node, Concat(axis), [value.tensor for value in values]), order)


def _behind_constant(state: OnnxReadState, node: OnnxNode) -> Value:
    value = state.value(node, 1)
    constant = to_graph_axes(state, value, state.weights(node, 0))
    axis = value.axes[node.integer("axis", 0) % len(value.axes)]
    return replace(value, tensor=state.add(node, WithConstant("concat", constant, axis), [value.tensor]))


def reshaping(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Reshape, Flatten, Squeeze and Unsqueeze; all sizes are known by now."""
    value = state.value(node)
    shape = state.shape(value)
    match node.op_type:
        case "Flatten":
            axis = node.integer("axis", 1)
            axis = axis + len(shape) if axis < 0 else axis
            target: Shape = (math.prod(shape[:axis]), math.prod(shape[axis:]))
        case "Reshape":
            wanted = state.whole_numbers(node, 1, "shape")
            target = _resolve(wanted, shape, node.integer("allowzero", 0) == 1)
        case _:
            target = _squeezed(state, node, shape)
    return reshape(state, node, value, target)


def _resolve(wanted: tuple[int, ...], shape: Shape, zero_means_zero: bool) -> Shape:
    """Return a Reshape's target shape with its 0 (copy this size) and -1 (whatever remains) filled in."""
    target = list(wanted)
    if not zero_means_zero:
        target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target)]
    known = math.prod(n for n in target if n != -1)
    return tuple(math.prod(shape) // max(known, 1) if n == -1 else n for n in target)


def _squeezed(state: OnnxReadState, node: OnnxNode, shape: Shape) -> Shape:
    axes = state.whole_numbers(node, 1, "axes")
    if node.op_type == "Squeeze":
        dropped = {a % len(shape) for a in axes} or {i for i, n in enumerate(shape) if n == 1}
        return tuple(n for i, n in enumerate(shape) if i not in dropped)
    rank = len(shape) + len(axes)
    added = {a % rank for a in axes}
    rest = iter(shape)
    return tuple(1 if i in added else next(rest) for i in range(rank))


def transpose(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Transpose by changing only the value's axis order, without a graph operator."""
    value = state.unflattened(node)
    order = node.integers("perm", tuple(reversed(range(len(value.axes)))))
    if sorted(order) != list(range(len(value.axes))):
        raise state.refusal(node, f"its perm {list(order)} does not fit")
    return replace(value, axes=tuple(value.axes[axis] for axis in order))


Rule = Callable[[OnnxReadState, OnnxNode], Value]
RULES: dict[str, Rule] = {
    "Conv": conv,
    "Gemm": gemm,
    "MatMul": matmul,
    "BatchNormalization": batch_normalization,
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), arithmetic),
    "Relu": unary("relu"),
    "HardSwish": unary("hard_swish"),
    "Sigmoid": unary("sigmoid"),
    "Tanh": unary("tanh"),
    "Erf": unary("erf"),
    "Sqrt": unary("sqrt"),
    "Gelu": gelu,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "HardSigmoid": hard_sigmoid,
    "Pow": power,
    "Cast": cast,
    "Clip": clip,
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), global_pool),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2"), reduce),
    "Pad": pad,
    "Concat": concat,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaping),
    "Transpose": transpose,
    "Slice": slices,
    "Gather": gather,
    "Expand": expand,
    **dict.fromkeys(("Resize", "Upsample"), resize),
    "DepthToSpace": depth_to_space,
    **dict.fromkeys(("Softmax", "LogSoftmax"), softmax),
    "LayerNormalization": layer_normalization,
    "InstanceNormalization": instance_normalization,
    **dict.fromkeys(("Identity", "Dropout"), identity),
}
RULES_OF_SEVERAL_OUTPUTS = {"Split": split}
RELU6 = "train with ReLU6, which int8 keeps best"
FLOAT = "give edgenet the float model; it quantizes itself"
REMEDIES: dict[str, str] = {
    **dict.fromkeys(("Elu", "Selu", "Mish", "Softplus"), RELU6),
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), FLOAT),
    "ConvTranspose": "edgenet takes classifiers, which do not upsample",
    "ArgMax": "export the network without ArgMax, so that it ends in its logits",
}
