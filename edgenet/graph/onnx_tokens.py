"""Rules for the ONNX operators of transformers: norms over a position, products of two tensors, softmax inside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Affine, FloatArray, MatMul, Softmax, Standardize, WithConstant
from edgenet.graph.onnx_state import Array, OnnxNode, OnnxReadState, Value, onnx_order, reshape


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
