"""The ONNX operators that edgenet takes, with a rule for each, and advice for some that it does not take.

`RULES` at the end of the file lists them all. The rules for layers with weights and windows are in
`onnx_layers`; the rules here are for elementwise operators and for those that only rearrange values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Affine, Binary, Concat, FloatArray, Shape, Softmax, Unary
from edgenet.graph.onnx_layers import conv, gemm, global_pool, matmul, pad, pool, reduce
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, onnx_order, reshape


def batch_normalization(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate BatchNormalization at inference: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    if node.integer("training_mode", 0):
        raise state.refusal(node, "it was exported in training mode", "call model.eval() before the export")
    value = state.value(node)
    gamma, beta, mean, variance = (state.weights(node, position) for position in range(1, 5))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = gamma / np.sqrt(variance + np.float32(node.number("epsilon", 1e-5)))
    over_channels = (1, -1, *(1,) * (len(value.axes) - 2))
    return _affine(
        state, node, value, scale.reshape(over_channels), (beta - mean * scale).reshape(over_channels)
    )


def arithmetic(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Add, Sub, Mul and Div of two computed values, or of a computed value and a constant.

    Div is supported only with a constant divisor.
    """
    constants = [name in state.constants for name in node.inputs]
    if not any(constants):
        return _binary(state, node)
    position = constants.index(False)
    value = state.value(node, position)
    constant = state.weights(node, 1 - position)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    match node.op_type, position:
        case "Add", _:
            return _affine(state, node, value, one, constant)
        case "Mul", _:
            return _affine(state, node, value, constant, zero)
        case "Sub", 0:
            return _affine(state, node, value, one, -constant)
        case "Sub", 1:
            return _affine(state, node, value, -one, constant)
        case "Div", 0:
            with np.errstate(divide="ignore"):
                return _affine(state, node, value, 1 / constant, zero)
    raise state.refusal(node, "it divides a constant by a computed value")


def _binary(state: OnnxReadState, node: OnnxNode) -> Value:
    if node.op_type == "Div":
        raise state.refusal(
            node, "it divides two computed values", "only division by a constant is supported"
        )
    left, right = state.value(node, 0), state.value(node, 1)
    if len(left.axes) != len(right.axes):
        raise state.refusal(node, "its inputs have different numbers of axes")
    if left.axes != right.axes or left.flattened != right.flattened:
        order = NCHW if len(left.axes) == 4 else onnx_order(left)
        left, right = state.in_order(node, left, order), state.in_order(node, right, order)
    tensor = state.add(node, Binary(node.op_type.lower()), [left.tensor, right.tensor])
    return replace(left, tensor=tensor)


def _affine(state: OnnxReadState, node: OnnxNode, value: Value, scale: Array, offset: Array) -> Value:
    """Add x * scale + offset; constants in ONNX's axes may vary only along the graph's last axis."""
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
        raise state.refusal(node, "its constants give NaN or infinity", "check the weights")
    shape = state.shape(value)
    wide = tuple(np.broadcast_shapes(shape, scale.shape, offset.shape))
    if wide[-len(shape) :] != shape:
        raise state.refusal(
            node,
            f"its constant widens the shape to {list(wide)}",
            "only constants that keep the shape are supported",
        )
    value = reshape(state, node, value, wide)  # the constant may add leading axes of size 1
    vectors = [_along_last_axis(state, node, value, constant) for constant in (scale, offset)]
    operator = Affine(vectors[0], vectors[1])
    return replace(value, tensor=state.add(node, operator, [value.tensor]))


def _along_last_axis(state: OnnxReadState, node: OnnxNode, value: Value, constant: Array) -> FloatArray:
    padded = np.asarray(constant, np.float32).reshape(
        (1,) * (len(value.axes) - constant.ndim) + constant.shape
    )
    if padded.size == 1:
        return padded.reshape(1)
    transposed = padded.transpose(np.argsort(value.axes))
    if transposed.size != transposed.shape[-1]:
        raise state.refusal(
            node,
            f"its constant of shape {list(constant.shape)} varies over the picture",
            "only constants for the whole tensor or for each channel are supported",
        )
    return value.to_graph_order(transposed.reshape(-1)).copy()


def clip(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Clip to [0, 6] as relu6 and to [0, inf) as relu."""
    low = _bound(state, node, 1, node.number("min", -np.inf))
    high = _bound(state, node, 2, node.number("max", np.inf))
    if low == 0 and high == 6:
        return _unary(state, node, "relu6")
    if low == 0 and high > 3e38:
        return _unary(state, node, "relu")
    raise state.refusal(node, f"it clips to [{low:g}, {high:g}]", "use ReLU6 (0 to 6) or ReLU (0 and up)")


def _bound(state: OnnxReadState, node: OnnxNode, position: int, attribute: float) -> float:
    constant = state.constant(node, position)
    return attribute if constant is None else float(constant.ravel()[0])


def hard_sigmoid(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate HardSigmoid with MobileNetV3's constants: relu6(x + 3) / 6."""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-4 or beta != 0.5:
        raise state.refusal(
            node, f"alpha is {alpha:g} and beta {beta:g}", "use alpha 1/6 and beta 0.5 (nn.Hardsigmoid)"
        )
    return _unary(state, node, "hard_sigmoid")


def unary(kind: str) -> Callable[[OnnxReadState, OnnxNode], Value]:
    """Return the rule for an elementwise function without attributes."""
    return lambda state, node: _unary(state, node, kind)


def _unary(state: OnnxReadState, node: OnnxNode, kind: str) -> Value:
    value = state.value(node)
    return replace(value, tensor=state.add(node, Unary(kind), [value.tensor]))


def softmax(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Softmax along the graph's last axis, that of the classes."""
    value = state.value(node)
    rank = len(value.axes)
    axis = node.integer("axis", -1) % rank
    if value.axes[axis] != rank - 1:
        raise state.refusal(node, f"it works along axis {axis}", "apply softmax to [1, classes] only")
    return replace(value, tensor=state.add(node, Softmax(), [value.tensor]))


def identity(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Identity, and Dropout, which does nothing at inference."""
    training = state.constant(node, 2)
    if training is not None and training.any():
        raise state.refusal(node, "it was exported in training mode", "call model.eval() before the export")
    return state.value(node)


def concat(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Concat; all its inputs must be computed values."""
    values = [state.value(node, position) for position in range(len(node.inputs))]
    order = NCHW if len(values[0].axes) == 4 else onnx_order(values[0])
    if any(len(value.axes) != len(order) for value in values):
        raise state.refusal(node, "its inputs have different numbers of axes")
    values = [state.in_order(node, value, order) for value in values]
    axis = order[node.integer("axis", 0) % len(order)]
    return Value(state.add(node, Concat(axis), [value.tensor for value in values]), order)


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
    value = state.value(node)
    if value.flattened is not None:
        value = state.in_order(node, value, onnx_order(value))
    order = node.integers("perm", tuple(reversed(onnx_order(value))))
    if sorted(order) != list(onnx_order(value)):
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
    "HardSigmoid": hard_sigmoid,
    "Clip": clip,
    **dict.fromkeys(("MaxPool", "AveragePool"), pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), global_pool),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax"), reduce),
    "Pad": pad,
    "Concat": concat,
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), reshaping),
    "Transpose": transpose,
    "Softmax": softmax,
    **dict.fromkeys(("Identity", "Dropout"), identity),
}
RELU6 = "train with ReLU6, which int8 keeps best"
FLOAT = "give edgenet the float model; it quantizes itself"
REMEDIES: dict[str, str] = {
    **dict.fromkeys(("LeakyRelu", "PRelu", "Elu", "Gelu", "Tanh"), RELU6),
    "Erf": f"this looks like GELU: {RELU6}",
    "LogSoftmax": "export the network without LogSoftmax; edgenet adds the softmax itself",
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear"), FLOAT),
    "Resize": "edgenet takes classifiers; resize photos before the network",
    "ConvTranspose": "edgenet takes classifiers, which do not upsample",
    "ArgMax": "export the network without ArgMax, so that it ends in its logits",
    "LayerNormalization": "use a network with batch normalization, which folds into the convolutions",
}
