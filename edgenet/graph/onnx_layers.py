"""Rules for the ONNX operators that look at windows, multiply matrices or normalize.

They have weights, or they come from transformers: norms over a position, products of two tensors, and a softmax
inside.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import (
    Affine,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FloatArray,
    FullyConnected,
    MatMul,
    Mean,
    Pad,
    Pads,
    Pool,
    Reduce,
    Reshape,
    Softmax,
    Standardize,
    Unary,
    WithConstant,
)
from edgenet.graph.onnx_parts import PICTURE
from edgenet.graph.onnx_state import NCHW, Array, OnnxNode, OnnxReadState, Value, onnx_order, reshape
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
    if node.integer("noop_with_empty_axes", 0) and len(axes) == rank:
        raise state.refusal(node, "it may reduce nothing", "leave out noop_with_empty_axes")
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


def softmax(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Softmax and LogSoftmax along any axis."""
    value = state.unflattened(node)
    value = _with_last(state, node, value, node.integer("axis", -1) % len(value.axes))
    operator = Softmax(log=node.op_type == "LogSoftmax")
    return replace(value, tensor=state.add(node, operator, [value.tensor]))


def _with_last(state: OnnxReadState, node: OnnxNode, value: Value, axis: int) -> Value:
    """Return the value with one ONNX axis as the graph's last axis."""
    rank = len(state.builder.shapes[value.tensor])
    last = value.axes[axis]
    if last == rank - 1:
        return value
    permutation = (*(g for g in range(rank) if g != last), last)
    tensor = state.transposed(node, value.tensor, permutation)
    return Value(tensor, tuple(permutation.index(g) for g in value.axes))


def layer_normalization(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate LayerNormalization: standardize over the last axes, then scale and shift."""
    value = state.unflattened(node)
    first = node.integer("axis", -1) % len(value.axes)
    over = tuple(sorted(value.axes[first:]))
    operator = Standardize(over, node.number("epsilon", 1e-5))
    value = replace(value, tensor=state.add(node, operator, [value.tensor], "/standardized"))
    scale = state.weights(node, 1)
    offset = state.weights(node, 2) if len(node.inputs) > 2 else np.zeros_like(scale)
    return _scaled(state, node, value, scale, offset)


def instance_normalization(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate InstanceNormalization: each channel is standardized over its positions, then scaled and shifted."""
    value = state.value(node)
    over = tuple(sorted(value.axes[2:]))
    operator = Standardize(over, node.number("epsilon", 1e-5))
    value = replace(value, tensor=state.add(node, operator, [value.tensor], "/standardized"))
    shape = (1, -1, *(1,) * len(over))
    return _scaled(state, node, value, *(state.weights(node, n).reshape(shape) for n in (1, 2)))


def _scaled(state: OnnxReadState, node: OnnxNode, value: Value, scale: Array, offset: Array) -> Value:
    if np.all(scale == 1) and not np.any(offset):
        return value
    return affine(state, node, value, scale, offset)


def affine(state: OnnxReadState, node: OnnxNode, value: Value, scale: Array, offset: Array) -> Value:
    """Add x * scale + offset with constants in ONNX's axes: an Affine, or `WithConstant` if they vary in place."""
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
    varying = [constant for constant in (scale, offset) if constant.size > 1]
    if len(value.axes) == 4 and varying and all(_varies_by_channel(constant) for constant in varying):
        value = _with_last(state, node, value, 1)  # a group norm's factors, for each channel of a picture
    arrays = [to_graph_axes(state, value, constant) for constant in (scale, offset)]
    if all(array.size in (1, array.shape[-1]) for array in arrays):
        scale, offset = (_per_feature(value, array) for array in arrays)
        return replace(value, tensor=state.add(node, Affine(scale, offset), [value.tensor]))
    for kind, array, idle in (("mul", arrays[0], 1), ("add", arrays[1], 0)):
        if np.any(array != idle):
            value = replace(value, tensor=state.add(node, WithConstant(kind, array), [value.tensor]))
    return value


def _varies_by_channel(constant: Array) -> bool:
    """Return whether a constant for a picture [1, C, H, W] has one number for each channel."""
    return constant.ndim >= 3 and constant.size == constant.shape[-3]


def _per_feature(value: Value, array: FloatArray) -> FloatArray:
    """Return constants along the last axis as [C] in the graph's order, or as [1]."""
    vector = array.reshape(-1)
    return (vector if vector.size == 1 else value.to_graph_order(vector)).copy()


def to_graph_axes(state: OnnxReadState, value: Value, constant: Array) -> FloatArray:
    """Return a constant, given in ONNX's axes, with the axes of the value's graph tensor."""
    padded = np.asarray(constant, np.float32).reshape(
        (1,) * (len(value.axes) - constant.ndim) + constant.shape
    )
    ordered = padded.transpose(np.argsort(value.axes))
    rank = len(state.builder.shapes[value.tensor])
    return np.ascontiguousarray(ordered.reshape((1,) * (rank - ordered.ndim) + ordered.shape))


def product(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate MatMul of two computed values, over their last two axes."""
    left, right = (state.unflattened(node, position) for position in (0, 1))
    if len(left.axes) != len(right.axes) or len(left.axes) < 2:
        raise state.refusal(node, "its inputs have different numbers of axes")
    left = state.in_order(node, left, onnx_order(left))
    order = onnx_order(right)
    swapped = (*order[:-2], order[-1], order[-2])
    transposed = right.axes == swapped
    right = right if transposed else state.in_order(node, right, order)
    return replace(left, tensor=state.add(node, MatMul(transposed), [left.tensor, right.tensor]))
