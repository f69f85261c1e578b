"""Rules for ONNX operators that only rearrange values: reshapes, transposes and concatenation."""

from __future__ import annotations

import math
from dataclasses import replace

from edgenet.graph.ir import Shape
from edgenet.graph.operators import Concat
from edgenet.graph.readers.translation import NCHW, OnnxNode, Translation, Value, natural, reshape


def concat(state: Translation, node: OnnxNode) -> Value:
    """Translate Concat; all its inputs must be computed values."""
    values = [state.value(node, position) for position in range(len(node.inputs))]
    order = NCHW if len(values[0].axes) == 4 else natural(values[0])
    if any(len(value.axes) != len(order) for value in values):
        raise state.refuse(node, "its inputs have different numbers of axes")
    values = [state.in_order(node, value, order) for value in values]
    axis = order[node.integer("axis", 0) % len(order)]
    return Value(state.add(node, Concat(axis), [value.tensor for value in values]), order)


def reshaping(state: Translation, node: OnnxNode) -> Value:
    """Translate Reshape, Flatten, Squeeze and Unsqueeze; all sizes are known by now."""
    value = state.value(node)
    shape = state.shape(value)
    match node.kind:
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


def _squeezed(state: Translation, node: OnnxNode, shape: Shape) -> Shape:
    axes = state.whole_numbers(node, 1, "axes")
    if node.kind == "Squeeze":
        dropped = {a % len(shape) for a in axes} or {i for i, n in enumerate(shape) if n == 1}
        return tuple(n for i, n in enumerate(shape) if i not in dropped)
    rank = len(shape) + len(axes)
    added = {a % rank for a in axes}
    rest = iter(shape)
    return tuple(1 if i in added else next(rest) for i in range(rank))


def transpose(state: Translation, node: OnnxNode) -> Value:
    """Translate Transpose by changing only the value's axis order, without a graph operator."""
    value = state.value(node)
    if value.flattened is not None:
        value = state.in_order(node, value, natural(value))
    order = node.integers("perm", tuple(reversed(natural(value))))
    if sorted(order) != list(natural(value)):
        raise state.refuse(node, f"its perm {list(order)} does not fit")
    return replace(value, axes=tuple(value.axes[axis] for axis in order))
