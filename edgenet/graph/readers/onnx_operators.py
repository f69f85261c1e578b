"""One rule for each ONNX operator that edgenet takes: from an ONNX node to the graph's operators."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.operators import (
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Pad,
    Pads,
    Pool,
    Softmax,
    Unary,
)
from edgenet.graph.readers.translation import NCHW, OnnxNode, Translation, Value, reshape
from edgenet.graph.shapes import same_pads

Rule = Callable[[Translation, OnnxNode], Value]


def conv(state: Translation, node: OnnxNode) -> Value:
    """Conv, with groups; as many groups as channels is a depthwise convolution."""
    source = state.picture(node)
    weight = state.weights(node, 1)
    if weight.ndim != 4:
        raise state.refuse(node, f"its weight has {weight.ndim} axes where a 2D convolution has 4")
    bias = state.constant(node, 2)
    offsets = np.zeros(len(weight), np.float32) if bias is None else np.asarray(bias, np.float32)
    groups = node.integer("group", 1)
    strides, dilations = node.integers("strides", (1, 1)), node.integers("dilations", (1, 1))
    stride, dilation = (strides[0], strides[1]), (dilations[0], dilations[1])
    channels = state.builder.shapes[source][3]
    if weight.shape[1] * groups != channels:
        raise state.refuse(
            node, f"its weight {list(weight.shape)} with {groups} groups does not fit {channels} channels"
        )
    operator: Conv2D | DepthwiseConv2D
    if groups == channels and groups > 1:
        kernel = np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
        operator = DepthwiseConv2D(kernel, offsets, stride, dilation)
    else:
        kernel = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        operator = Conv2D(kernel, offsets, stride, dilation, groups=groups)
    pads = _pads(state, node, source, operator)
    return Value(state.add(node, replace(operator, pads=pads), [source]), NCHW)


def _pads(state: Translation, node: OnnxNode, source: str, operator: Conv2D | DepthwiseConv2D | Pool) -> Pads:
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        _, height, width, _ = state.builder.shapes[source]
        same = same_pads((height, width), operator)
        return same if automatic == "SAME_UPPER" else Pads(same.bottom, same.top, same.right, same.left)
    if automatic == "VALID":
        return Pads()
    top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
    return Pads(top, bottom, left, right)


def gemm(state: Translation, node: OnnxNode) -> Value:
    """Gemm with a constant matrix."""
    if node.integer("transA", 0):
        raise state.refuse(node, "it transposes its input", "export the classifier as nn.Linear")
    weight = state.weights(node, 1)
    weight = weight if node.integer("transB", 0) else weight.T
    bias = state.constant(node, 2)
    offsets = np.zeros(len(weight)) if bias is None else np.broadcast_to(bias, (1, len(weight)))[0]
    return _fully_connected(
        state, node, weight * node.number("alpha", 1.0), offsets * node.number("beta", 1.0)
    )


def matmul(state: Translation, node: OnnxNode) -> Value:
    """MatMul with a constant matrix on the right."""
    weight = state.weights(node, 1)
    if weight.ndim != 2:
        raise state.refuse(node, f"its matrix has {weight.ndim} axes where 2 are supported")
    return _fully_connected(state, node, weight.T, np.zeros(weight.shape[1]))


def _fully_connected(state: Translation, node: OnnxNode, weight: NDArray, bias: NDArray) -> Value:
    value = state.value(node)
    if value.axes != (0, 1):
        value = state.in_order(node, value, tuple(range(len(value.axes))))
    if weight.shape[1] != state.shape(value)[-1]:
        raise state.refuse(node, f"its matrix takes {weight.shape[1]} features")
    if value.features is not None:  # the picture was flattened in NHWC: reorder the matrix, not the data
        columns = np.empty_like(weight)
        columns[:, list(value.features)] = weight
        weight = columns
    operator = FullyConnected(np.ascontiguousarray(weight, np.float32), np.asarray(bias, np.float32).copy())
    return Value(state.add(node, operator, [value.tensor]), value.axes)


def batch_normalization(state: Translation, node: OnnxNode) -> Value:
    """BatchNormalization at inference: (x - mean) / sqrt(variance + epsilon) * gamma + beta."""
    gamma, beta, mean, variance = (state.weights(node, position) for position in range(1, 5))
    scale = gamma / np.sqrt(variance + np.float32(node.number("epsilon", 1e-5)))
    return _affine(state, node, state.value(node), _over_channels(scale), _over_channels(beta - mean * scale))


def _over_channels(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    return vector.reshape(1, -1, 1, 1)


def _affine(state: Translation, node: OnnxNode, value: Value, scale: NDArray, offset: NDArray) -> Value:
    """x * scale + offset with constants in ONNX's axes, which may vary along the graph's last axis only."""
    vectors = [_along_last_axis(state, node, value, constant) for constant in (scale, offset)]
    operator = Affine(vectors[0], vectors[1])
    return replace(value, tensor=state.add(node, operator, [value.tensor]))


def _along_last_axis(
    state: Translation, node: OnnxNode, value: Value, constant: NDArray
) -> NDArray[np.float32]:
    rank = len(value.axes)
    if constant.ndim > rank and math.prod(constant.shape) > 1:
        constant = constant.reshape(constant.shape[constant.ndim - rank :])  # leading axes of one
    padded = np.asarray(constant, np.float32).reshape((1,) * max(rank - constant.ndim, 0) + constant.shape)
    if padded.size == 1:
        return padded.reshape(1)
    turned = padded.transpose(np.argsort(value.axes))
    if turned.size != turned.shape[-1]:
        raise state.refuse(
            node,
            f"its constant of shape {list(constant.shape)} varies over the picture",
            "only constants for the whole tensor or for each channel are supported",
        )
    vector = turned.reshape(-1)
    if value.features is not None:
        ordered = np.empty_like(vector)
        ordered[list(value.features)] = vector
        vector = ordered
    return vector.copy()


def arithmetic(state: Translation, node: OnnxNode) -> Value:
    """Add, Sub, Mul and Div: of two computed values, or of one and a constant."""
    constants = [name in state.constants for name in node.inputs]
    if not any(constants):
        return _of_two(state, node)
    position = constants.index(False)
    value = state.value(node, position)
    constant = state.weights(node, 1 - position)
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    match node.kind, position:
        case "Add", _:
            return _affine(state, node, value, one, constant)
        case "Mul", _:
            return _affine(state, node, value, constant, zero)
        case "Sub", 0:
            return _affine(state, node, value, one, -constant)
        case "Sub", 1:
            return _affine(state, node, value, -one, constant)
        case "Div", 0:
            return _affine(state, node, value, 1 / constant, zero)
    raise state.refuse(node, "it divides a constant by a computed value")


def _of_two(state: Translation, node: OnnxNode) -> Value:
    if node.kind == "Div":
        raise state.refuse(node, "it divides two computed values", "only division by a constant is supported")
    left, right = state.value(node, 0), state.value(node, 1)
    if len(left.axes) != len(right.axes):
        raise state.refuse(node, "its inputs have different numbers of axes")
    if left.axes != right.axes or left.features != right.features:
        order = NCHW if len(left.axes) == 4 else tuple(range(len(left.axes)))
        left, right = state.in_order(node, left, order), state.in_order(node, right, order)
    tensor = state.add(node, Binary(node.kind.lower()), [left.tensor, right.tensor])
    return replace(left, tensor=tensor)


def clip(state: Translation, node: OnnxNode) -> Value:
    """Clip to [0, 6] or to [0, inf)."""
    bounds = [state.constant(node, 1), state.constant(node, 2)]
    low = node.number("min", -np.inf) if bounds[0] is None else float(bounds[0])
    high = node.number("max", np.inf) if bounds[1] is None else float(bounds[1])
    if low == 0 and high == 6:
        return _unary(state, node, "relu6")
    if low == 0 and high > 3e38:
        return _unary(state, node, "relu")
    raise state.refuse(node, f"it clips to [{low:g}, {high:g}]", "use ReLU6 (0 to 6) or ReLU (0 and up)")


def hard_sigmoid(state: Translation, node: OnnxNode) -> Value:
    """HardSigmoid as MobileNetV3 has it: relu6(x + 3) / 6."""
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(alpha - 1 / 6) > 1e-4 or beta != 0.5:
        raise state.refuse(
            node, f"alpha is {alpha:g} and beta {beta:g}", "use alpha 1/6 and beta 0.5 (nn.Hardsigmoid)"
        )
    return _unary(state, node, "hard_sigmoid")


def _unary(state: Translation, node: OnnxNode, kind: str) -> Value:
    value = state.value(node)
    return replace(value, tensor=state.add(node, Unary(kind), [value.tensor]))


def unary(kind: str) -> Rule:
    """The rule for an elementwise function without attributes."""
    return lambda state, node: _unary(state, node, kind)


def pool(state: Translation, node: OnnxNode) -> Value:
    """MaxPool and AveragePool, with rounding up and with padding counted or not."""
    source = state.picture(node)
    kernel, strides = node.integers("kernel_shape", (1, 1)), node.integers("strides", (1, 1))
    if set(node.integers("dilations", (1, 1))) != {1}:
        raise state.refuse(node, "its window has holes (dilations)", "use dilation 1")
    kind = "max" if node.kind == "MaxPool" else "average"
    operator = Pool(kind, (kernel[0], kernel[1]), (strides[0], strides[1]))
    pads = _pads(state, node, source, operator)
    extra = _rounding_up(state, node, source, replace(operator, pads=pads))
    if kind == "average" and any(pads) and node.integer("count_include_pad", 0):
        if any(extra):
            raise state.refuse(node, "it counts padding and rounds up (ceil_mode)", "use ceil_mode=False")
        source = state.add(node, Pad(pads), [source], "/pad")
        pads = Pads()
    pads = Pads(pads.top, pads.bottom + extra[0], pads.left, pads.right + extra[1])
    return Value(state.add(node, replace(operator, pads=pads), [source]), NCHW)


def _rounding_up(state: Translation, node: OnnxNode, source: str, operator: Pool) -> tuple[int, int]:
    """Rows and columns that ceil_mode adds; a window may not start beyond the picture (as in torch)."""
    if not node.integer("ceil_mode", 0):
        return (0, 0)
    _, height, width, _ = state.builder.shapes[source]
    pads = operator.pads
    spans = ((height, pads.top, pads.bottom), (width, pads.left, pads.right))
    extra = []
    for (n, before, after), kernel, stride in zip(spans, operator.size, operator.stride, strict=True):
        positions = -(-(n + before + after - kernel) // stride) + 1
        if (positions - 1) * stride >= n + before:
            positions -= 1
        extra.append(max((positions - 1) * stride + kernel - n - before - after, 0))
    return extra[0], extra[1]


def global_pool(state: Translation, node: OnnxNode) -> Value:
    """GlobalAveragePool and GlobalMaxPool."""
    source = state.picture(node)
    if node.kind == "GlobalAveragePool":
        return Value(state.add(node, Mean(), [source]), NCHW)
    _, height, width, _ = state.builder.shapes[source]
    return Value(state.add(node, Pool("max", (height, width), (1, 1)), [source]), NCHW)


def reduce(state: Translation, node: OnnxNode) -> Value:
    """ReduceMean, ReduceSum and ReduceMax over height and width."""
    source = state.picture(node)
    axes_input = state.constant(node, 1)
    axes = node.integers("axes", ()) if axes_input is None else tuple(int(a) for a in axes_input.ravel())  # type: ignore[call-overload]
    if {axis % 4 for axis in axes} != {2, 3}:
        raise state.refuse(
            node, f"it reduces axes {list(axes)}", "only height and width (2, 3) are supported"
        )
    _, height, width, channels = state.builder.shapes[source]
    if node.kind == "ReduceMax":
        result = state.add(node, Pool("max", (height, width), (1, 1)), [source])
    else:
        result = state.add(node, Mean(), [source])
    if node.kind == "ReduceSum":
        count = np.full(1, height * width, np.float32)
        result = state.add(node, Affine(count, np.zeros(1, np.float32)), [result], "/sum")
    value = Value(result, NCHW)
    return value if node.integer("keepdims", 1) else reshape(state, node, value, (1, channels))


def pad(state: Translation, node: OnnxNode) -> Value:
    """Pad with zeros around the picture."""
    source = state.picture(node)
    given = state.constant(node, 1)
    amounts = node.integers("pads", ()) if given is None else tuple(int(n) for n in given.ravel())  # type: ignore[call-overload]
    value = state.constant(node, 2)
    if node.text("mode", "constant") != "constant" or (value is not None and float(value.ravel()[0]) != 0):  # type: ignore[arg-type]
        raise state.refuse(node, "it pads with something else than zeros", "use zero padding")
    if len(amounts) != 8 or any(amounts[i] for i in (0, 1, 4, 5)) or min(amounts) < 0:
        raise state.refuse(node, f"it pads by {list(amounts)}", "only height and width can be padded")
    if not any(amounts):
        return Value(source, NCHW)
    pads = Pads(amounts[2], amounts[6], amounts[3], amounts[7])
    return Value(state.add(node, Pad(pads), [source]), NCHW)


def concat(state: Translation, node: OnnxNode) -> Value:
    """Concat of computed values."""
    values = [state.value(node, position) for position in range(len(node.inputs))]
    order = NCHW if len(values[0].axes) == 4 else tuple(range(len(values[0].axes)))
    values = [state.in_order(node, value, order) for value in values]
    axis = order[node.integer("axis", 0) % len(order)]
    return Value(state.add(node, Concat(axis), [value.tensor for value in values]), order)


def reshaping(state: Translation, node: OnnxNode) -> Value:
    """Reshape, Flatten, Squeeze and Unsqueeze, with all sizes known."""
    value = state.value(node)
    shape = state.shape(value)
    match node.kind:
        case "Flatten":
            axis = node.integer("axis", 1) % (len(shape) + 1)
            target = (math.prod(shape[:axis]), math.prod(shape[axis:]))
        case "Reshape":
            target = _resolve(state.weights(node, 1), shape, node.integer("allowzero", 0) == 1)
        case _:
            target = _squeezed(state, node, shape)
    return reshape(state, node, value, target)


def _resolve(wanted: NDArray, shape: tuple[int, ...], zero_means_zero: bool) -> tuple[int, ...]:
    """A Reshape's target with its 0 (copy) and -1 (the rest) filled in."""
    target = [int(n) for n in wanted.ravel()]
    if not zero_means_zero:
        target = [shape[i] if n == 0 and i < len(shape) else n for i, n in enumerate(target)]
    known = math.prod(n for n in target if n != -1)
    return tuple(math.prod(shape) // max(known, 1) if n == -1 else n for n in target)


def _squeezed(state: Translation, node: OnnxNode, shape: tuple[int, ...]) -> tuple[int, ...]:
    given = state.constant(node, 1)
    axes = node.integers("axes", ()) if given is None else tuple(int(a) for a in given.ravel())  # type: ignore[call-overload]
    if node.kind == "Squeeze":
        dropped = {a % len(shape) for a in axes} or {i for i, n in enumerate(shape) if n == 1}
        return tuple(n for i, n in enumerate(shape) if i not in dropped)
    rank = len(shape) + len(axes)
    added = {a % rank for a in axes}
    rest = iter(shape)
    return tuple(1 if i in added else next(rest) for i in range(rank))


def transpose(state: Translation, node: OnnxNode) -> Value:
    """Transpose: only the memory of which axis is which changes."""
    value = state.value(node)
    if value.features is not None:
        value = state.in_order(node, value, (0, 1))
    order = node.integers("perm", tuple(reversed(range(len(value.axes)))))
    return replace(value, axes=tuple(value.axes[axis] for axis in order))


def softmax(state: Translation, node: OnnxNode) -> Value:
    """Softmax over the classes."""
    value = state.value(node)
    rank = len(value.axes)
    axis = node.integer("axis", -1) % rank
    if value.axes[axis] != rank - 1:
        raise state.refuse(node, f"it works along axis {axis}", "apply softmax to [1, classes] only")
    return replace(value, tensor=state.add(node, Softmax(), [value.tensor]))


def identity(state: Translation, node: OnnxNode) -> Value:
    """Identity, and Dropout, which does nothing at inference."""
    return state.value(node)


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

REMEDIES: dict[str, str] = {
    "LeakyRelu": "train with ReLU6, which int8 keeps best",
    "PRelu": "train with ReLU6, which int8 keeps best",
    "Elu": "train with ReLU6, which int8 keeps best",
    "Gelu": "train with ReLU6, which int8 keeps best",
    "Erf": "this looks like GELU: train with ReLU6, which int8 keeps best",
    "Tanh": "train with ReLU6, which int8 keeps best",
    "LogSoftmax": "export the network without LogSoftmax; edgenet adds the softmax itself",
    "QuantizeLinear": "give edgenet the float model; it quantizes itself",
    "DequantizeLinear": "give edgenet the float model; it quantizes itself",
    "Resize": "edgenet takes classifiers; resize photos before the network",
    "ConvTranspose": "edgenet takes classifiers, which do not upsample",
    "ArgMax": "export the network without ArgMax, so that it ends in its logits",
    "LayerNormalization": "use a network with batch normalization, which folds into the convolutions",
}
