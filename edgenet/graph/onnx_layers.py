"""Rules for the ONNX operators that look at windows of the picture or have a matrix of weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import (
    Affine,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Pad,
    Pads,
    Pool,
    Reduce,
    Reshape,
    Unary,
)
from edgenet.graph.onnx_parts import PICTURE
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, onnx_order, reshape
from edgenet.graph.onnx_tokens import product
from edgenet.graph.shapes import same_pads


def conv(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Conv; with as many groups as channels it is a depthwise convolution."""
    source = state.picture(node)
    weight = state.weights(node, 1)
    if weight.ndim != 4:
        raise state.refusal(node, f"its weight has {weight.ndim} axes where a 2D convolution has 4")
    bias = np.zeros(len(weight), np.float32) if state.constant(node, 2) is None else state.weights(node, 2)
    groups = node.integer("group", 1)
    channels = state.builder.shapes[source][3]
    if weight.shape[1] * groups != channels or len(weight) % groups or bias.shape != (len(weight),):
        raise state.refusal(
            node, f"its weight {list(weight.shape)} with {groups} groups does not fit {channels} channels"
        )
    stride, dilation = pair(state, node, "strides"), pair(state, node, "dilations")
    operator: Conv2D | DepthwiseConv2D
    if groups == channels and groups > 1:
        kernel = np.ascontiguousarray(weight.transpose(1, 2, 3, 0))
        operator = DepthwiseConv2D(kernel, bias, stride, dilation)
    else:
        kernel = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
        operator = Conv2D(kernel, bias, stride, dilation, groups=groups)
    operator = replace(operator, pads=_window_pads(state, node, source, operator))
    return Value(state.add(node, operator, [source]), NCHW)


def gemm(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Gemm with a constant matrix."""
    if node.integer("transA", 0):
        raise state.refusal(node, "it transposes its input", "export the classifier as nn.Linear")
    weight = _matrix(state, node)
    weight = weight if node.integer("transB", 0) else weight.T
    bias = np.zeros(1, np.float32) if state.constant(node, 2) is None else state.weights(node, 2)
    offsets = np.broadcast_to(bias * node.number("beta", 1.0), (1, len(weight)))[0]
    return _fully_connected(state, node, weight * node.number("alpha", 1.0), offsets)


def matmul(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate MatMul with a constant matrix on the right, or of two computed values."""
    if len(node.inputs) > 1 and node.inputs[1] not in state.constants:
        return product(state, node)
    weight = _matrix(state, node)
    return _fully_connected(state, node, weight.T, np.zeros(weight.shape[1]))


def _matrix(state: OnnxReadState, node: OnnxNode) -> Array:
    weight = state.weights(node, 1)
    if weight.ndim != 2:
        raise state.refusal(node, f"its matrix has {weight.ndim} axes where 2 are supported")
    return weight


def _fully_connected(state: OnnxReadState, node: OnnxNode, weight: Array, bias: Array) -> Value:
    value = state.value(node)
    if value.axes != onnx_order(value):
        value = state.in_order(node, value, onnx_order(value))
    if not value.axes or weight.shape[1] != state.shape(value)[-1]:
        raise state.refusal(node, f"its matrix takes {weight.shape[1]} features")
    # for a picture that was flattened in NHWC, reordering the matrix once is cheaper than reordering the data
    columns = value.to_graph_order(weight)
    operator = FullyConnected(np.ascontiguousarray(columns, np.float32), np.array(bias, np.float32))
    return Value(state.add(node, operator, [value.tensor]), value.axes)


def pool(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate MaxPool and AveragePool, including ceil_mode and count_include_pad (not both at once)."""
    source = state.picture(node)
    if set(node.integers("dilations", (1, 1))) != {1}:
        raise state.refusal(node, "its window has holes (dilations)", "use dilation 1")
    kind = "max" if node.op_type == "MaxPool" else "average"
    operator = Pool(kind, pair(state, node, "kernel_shape"), pair(state, node, "strides"))
    pads = _window_pads(state, node, source, operator)
    extra = _rounding_up(state, node, source, replace(operator, pads=pads))
    if kind == "average" and any(pads) and node.integer("count_include_pad", 0):
        if any(extra):
            raise state.refusal(node, "it counts padding and rounds up (ceil_mode)", "use ceil_mode=False")
        source = state.add(node, Pad(pads), [source], "/pad")
        pads = Pads()
    pads = Pads(pads.top, pads.bottom + extra[0], pads.left, pads.right + extra[1])
    return Value(state.add(node, replace(operator, pads=pads), [source]), NCHW)


def _rounding_up(state: OnnxReadState, node: OnnxNode, source: str, operator: Pool) -> tuple[int, int]:
    """Return the rows and columns that ceil_mode adds; as in torch, no window starts beyond the picture."""
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


def global_pool(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate GlobalAveragePool and GlobalMaxPool."""
    source = state.picture(node)
    if node.op_type == "GlobalAveragePool":
        return Value(state.add(node, Mean(), [source]), NCHW)
    return Value(_max_over_picture(state, node, source), NCHW)


def reduce(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate ReduceMean, ReduceSum and ReduceL2 over any axes, and ReduceMax over height and width."""
    value = state.unflattened(node)
    rank = len(value.axes)
    axes = tuple(axis % rank for axis in state.whole_numbers(node, 1, "axes")) or tuple(range(rank))
    over = {value.axes[axis] for axis in axes}
    if rank != 4 or over != PICTURE or node.op_type == "ReduceL2":
        return _reduce_elsewhere(state, node, value, axes)
    _, height, width, _ = state.builder.shapes[value.tensor]
    if node.op_type == "ReduceMax":
        result = _max_over_picture(state, node, value.tensor)
    else:
        result = state.add(node, Mean(), [value.tensor])
    if node.op_type == "ReduceSum":
        count = np.full(1, height * width, np.float32)
        result = state.add(node, Affine(count, np.zeros(1, np.float32)), [result], "/sum")
    return _without_reduced(state, node, replace(value, tensor=result), axes)


def _reduce_elsewhere(state: OnnxReadState, node: OnnxNode, value: Value, axes: tuple[int, ...]) -> Value:
    """Reduce other axes than a picture's height and width; the mean over the positions of tokens is a `Mean` too."""
    if node.op_type == "ReduceMax" or 0 in {value.axes[axis] for axis in axes}:
        raise state.refusal(
            node, f"it reduces the axes {list(axes)}", "only height and width together are supported"
        )
    shape, over = state.builder.shapes[value.tensor], tuple(sorted(value.axes[axis] for axis in axes))
    if node.op_type == "ReduceL2":
        square = state.add(node, Binary("mul"), [value.tensor] * 2, "/square")
        total = state.add(node, Reduce("sum", over), [square], "/sum")
        result = state.add(node, Unary("sqrt"), [total])
    elif node.op_type == "ReduceMean" and len(shape) == 3 and over == (1,):
        picture = state.add(node, Reshape((1, shape[1], 1, shape[2])), [value.tensor], "/picture")
        mean = state.add(node, Mean(False), [picture])
        result = state.add(node, Reshape((1, 1, shape[2])), [mean], "/token")
    else:
        kind = "mean" if node.op_type == "ReduceMean" else "sum"
        result = state.add(node, Reduce(kind, over), [value.tensor])
    return _without_reduced(state, node, replace(value, tensor=result), axes)


def _without_reduced(state: OnnxReadState, node: OnnxNode, reduced: Value, axes: tuple[int, ...]) -> Value:
    """Drop the reduced axes unless the node keeps them."""
    if node.integer("keepdims", 1):
        return reduced
    kept = tuple(n for axis, n in enumerate(state.shape(reduced)) if axis not in axes)
    return reshape(state, node, reduced, kept)


def _max_over_picture(state: OnnxReadState, node: OnnxNode, source: str) -> str:
    _, height, width, _ = state.builder.shapes[source]
    return state.add(node, Pool("max", (height, width), (1, 1)), [source])


def _window_pads(
    state: OnnxReadState, node: OnnxNode, source: str, operator: Conv2D | DepthwiseConv2D | Pool
) -> Pads:
    """Return the padding of a convolution or pooling, from its `pads` or its `auto_pad` attribute."""
    automatic = node.text("auto_pad", "NOTSET")
    if automatic in ("SAME_UPPER", "SAME_LOWER"):
        _, height, width, _ = state.builder.shapes[source]
        same = same_pads((height, width), operator)
        return same if automatic == "SAME_UPPER" else Pads(same.bottom, same.top, same.right, same.left)
    if automatic == "VALID":
        return Pads()
    given = node.integers("pads", (0, 0, 0, 0))
    if len(given) != 4 or min(given) < 0:
        raise state.refusal(
            node, f"its pads are {list(given)}", "only padding by 0 or more pixels is supported"
        )
    top, left, bottom, right = given
    return Pads(top, bottom, left, right)


def pair(state: OnnxReadState, node: OnnxNode, attribute: str) -> tuple[int, int]:
    """Return an attribute with one positive number each for height and width; (1, 1) if it is absent."""
    given = node.integers(attribute, (1, 1))
    if len(given) != 2 or min(given) < 1:
        raise state.refusal(
            node, f"its {attribute} are {list(given)} where two positive numbers are expected"
        )
    return given[0], given[1]
