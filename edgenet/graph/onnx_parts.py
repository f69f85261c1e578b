"""Rules for the ONNX operators that take parts of a tensor, pad it, resize it or rearrange its pixels."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edgenet.graph.ir import Concat, Pad, Pads, Reshape, Resize, Slice, Transpose, WithConstant
from edgenet.graph.onnx_state import NCHW, OnnxNode, OnnxReadState, Value, reshape

PICTURE = {1, 2}
"""The graph axes of height and width."""


def slices(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Slice with constant bounds and positive steps."""
    value = state.unflattened(node)
    shape = state.shape(value)
    starts, ends = state.whole_numbers(node, 1, "starts"), state.whole_numbers(node, 2, "ends")
    axes = state.whole_numbers(node, 3, "axes") or tuple(range(len(starts)))
    steps = state.whole_numbers(node, 4, "steps") or (1,) * len(starts)
    if min(steps, default=1) < 1:
        raise state.refusal(node, f"its steps are {list(steps)}", "only steps of 1 or more are supported")
    parts = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis %= len(shape)
        parts[axis] = slice(start, end, step).indices(shape[axis])
    return _cut(state, node, value, parts)


def _cut(state: OnnxReadState, node: OnnxNode, value: Value, parts: dict[int, tuple[int, int, int]]) -> Value:
    """Return the value's part from begin to end in steps, given for some ONNX axes."""
    shape = state.builder.shapes[value.tensor]
    begin, end, stride = [0] * len(shape), list(shape), [1] * len(shape)
    for axis, part in parts.items():
        graph_axis = value.axes[axis]
        begin[graph_axis], end[graph_axis], stride[graph_axis] = part
    if end == list(shape) and not any(begin) and set(stride) == {1}:
        return value
    operator = Slice(tuple(begin), tuple(end), tuple(stride))
    return replace(value, tensor=state.add(node, operator, [value.tensor]))


def split(state: OnnxReadState, node: OnnxNode) -> tuple[Value, ...]:
    """Translate Split as one Slice for each of its outputs."""
    value = state.unflattened(node)
    axis = node.integer("axis", 0) % len(value.axes)
    length, count = state.shape(value)[axis], len(node.outputs)
    sizes = state.whole_numbers(node, 1, "split") or (-(-length // count),) * count
    ends = np.minimum(np.cumsum(sizes), length).tolist()
    begins = [0, *ends[:-1]]
    return tuple(
        _cut(state, node, value, {axis: (begin, end, 1)}) for begin, end in zip(begins, ends, strict=True)
    )


def gather(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Gather of a single position, or of positions at equal distances."""
    value = state.unflattened(node)
    shape = state.shape(value)
    axis = node.integer("axis", 0) % len(shape)
    indices = state.constant(node, 1)
    if indices is None:
        raise state.refusal(node, "its indices are missing", "export it again")
    if indices.ndim == 2:
        return _interleaved(state, node, value, axis, indices)
    picked = indices.reshape(-1).astype(int) % shape[axis]
    first, step = int(picked[0]), max(int(picked[1] - picked[0]), 1) if len(picked) > 1 else 1
    if indices.ndim > 1 or not np.array_equal(picked, first + step * np.arange(len(picked))):
        raise state.refusal(
            node,
            f"it picks {picked[:8].tolist()}",
            "only positions at equal distances, upwards, are supported",
        )
    part = _cut(state, node, value, {axis: (first, int(picked[-1]) + 1, step)})
    if indices.ndim:
        return part
    return reshape(state, node, part, (*shape[:axis], *shape[axis + 1 :]))


def _interleaved(state: OnnxReadState, node: OnnxNode, value: Value, axis: int, indices: np.ndarray) -> Value:
    """Translate a Gather of [[0, 2, ...], [1, 3, ...]], as torch exports unfold: the axis is parted, and turned."""
    shape, (phases, steps) = state.shape(value), indices.shape
    expected = np.arange(phases)[:, None] + phases * np.arange(steps)
    if not np.array_equal(indices, expected) or phases * steps != shape[axis]:
        raise state.refusal(node, "it picks a table of positions", "only unfold without overlap is supported")
    parted = reshape(state, node, value, (*shape[:axis], steps, phases, *shape[axis + 1 :]))
    axes = list(parted.axes)
    axes[axis], axes[axis + 1] = axes[axis + 1], axes[axis]
    return replace(parted, axes=tuple(axes))


def expand(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Expand, which repeats the values along axes of size 1."""
    value = state.value(node)
    shape, wanted = state.shape(value), state.whole_numbers(node, 1, "shape")
    wide = tuple(int(n) for n in np.broadcast_shapes(shape, wanted))
    value = reshape(state, node, value, (1,) * (len(wide) - len(shape)) + shape)
    if wide == state.shape(value):
        return value
    graph_shape = list(state.builder.shapes[value.tensor])
    for axis, n in zip(value.axes, wide, strict=True):
        graph_shape[axis] = n
    ones = np.ones(graph_shape, np.float32)
    return replace(value, tensor=state.add(node, WithConstant("mul", ones), [value.tensor]))


def pad(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Pad around the picture: with zeros, or with the picture's own pixels (reflect, edge)."""
    value = state.four_axes(node)
    given = state.constant(node, 2)
    number = node.number("value", 0.0) if given is None else float(given.ravel()[0])
    mode = node.text("mode", "constant")
    if mode not in ("constant", "reflect", "edge") or (mode == "constant" and number != 0):
        found = f"in the mode '{mode}'" if mode != "constant" else f"with {number:g}"
        raise state.refusal(node, f"it pads {found}", "padding with zeros, reflect and edge are supported")
    axes = [axis % 4 for axis in state.whole_numbers(node, 3, "axes")] or [0, 1, 2, 3]
    amounts = state.whole_numbers(node, 1, "pads")
    before, after = amounts[: len(axes)], amounts[len(axes) :]
    around = {value.axes[axis]: (a, b) for axis, a, b in zip(axes, before, after, strict=True)}
    if any(any(ends) for axis, ends in around.items() if axis not in PICTURE) or min(amounts) < 0:
        raise state.refusal(node, f"it pads by {list(amounts)}", "only height and width can be padded")
    pads = Pads(*around.get(1, (0, 0)), *around.get(2, (0, 0)))
    if not any(pads):
        return value
    if mode == "constant":
        return replace(value, tensor=state.add(node, Pad(pads), [value.tensor]))
    tensor = _mirrored(state, node, value.tensor, 1, (pads.top, pads.bottom), mode)
    return replace(value, tensor=_mirrored(state, node, tensor, 2, (pads.left, pads.right), mode))


def _mirrored(
    state: OnnxReadState, node: OnnxNode, tensor: str, axis: int, ends: tuple[int, int], mode: str
) -> str:
    """Pad one axis of a picture with its own rows or columns, by joining Slices: XNNPACK runs both."""
    length = state.builder.shapes[tensor][axis]
    if not any(ends):
        return tensor
    if mode == "reflect" and max(ends) >= length:
        raise state.refusal(node, f"it reflects {max(ends)} of {length} rows or columns", "export it again")
    first, last = 0, length - 1
    reflect = mode == "reflect"
    before = [first + n * reflect for n in range(ends[0], 0, -1)]
    after = [last - n * reflect for n in range(1, ends[1] + 1)]
    shape = state.builder.shapes[tensor]

    def row(index: int) -> str:
        begin, end = [0] * 4, list(shape)
        begin[axis], end[axis] = index, index + 1
        return state.add(node, Slice(tuple(begin), tuple(end), (1,) * 4), [tensor], "/row")

    parts = [*map(row, before), tensor, *map(row, after)]
    return state.add(node, Concat(axis), parts)


def resize(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate Resize and Upsample of a picture: to the nearest pixel, or bilinear."""
    source = state.picture(node)
    _, height, width, _ = state.builder.shapes[source]
    place = node.text(
        "coordinate_transformation_mode", "half_pixel" if node.op_type == "Resize" else "asymmetric"
    )
    align, half = place == "align_corners", place in ("half_pixel", "pytorch_half_pixel")
    size = _new_size(state, node, (height, width), whole=not align)
    if size == (height, width):
        return Value(source, NCHW)
    if node.integer("antialias", 0) or node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise state.refusal(
            node,
            "it smooths before it shrinks or keeps the sides' ratio",
            "export it without antialias and without keep_aspect_ratio_policy",
        )
    mode = node.text("mode", "nearest")
    if mode == "linear" and (align or half or place == "asymmetric"):
        return Value(state.add(node, Resize("bilinear", size, align, half), [source]), NCHW)
    rounding = node.text("nearest_mode", "round_prefer_floor" if node.op_type == "Resize" else "floor")
    # By whole factors no centre lies halfway between two pixels, so that both ways of rounding repeat pixels.
    repeats = size[0] % height == 0 and size[1] % width == 0 and half and rounding.startswith("round")
    if mode == "nearest" and ((place == "asymmetric" and rounding == "floor") or repeats):
        return Value(state.add(node, Resize("nearest", size), [source]), NCHW)
    raise state.refusal(
        node,
        f"its mode is {mode}, {place}, {rounding}",
        "nearest as torch computes it, and linear, are supported",
    )


WHOLE = 1e-4
"""A size that differs less from a whole number is one: a file holds the factor as float32."""


def _new_size(state: OnnxReadState, node: OnnxNode, size: tuple[int, int], whole: bool) -> tuple[int, int]:
    """Return the new height and width; `whole` refuses factors that leave a part of a pixel over.

    Such a part shifts all other pixels, which a .tflite cannot say: it knows both sizes and no factor.
    """
    if node.op_type == "Upsample":
        scales, sizes = state.constant(node, 1), None
    else:
        # opset 10 has the scales as the second input, later ones after the region of interest
        scales = state.constant(node, 2 if len(node.inputs) > 2 else 1)
        sizes = state.constant(node, 3)
    if sizes is not None and sizes.size:
        wanted = [int(n) for n in sizes.ravel()]
        channels = state.shape(state.value(node))[:2]
        if len(wanted) == 4 and tuple(wanted[:2]) == channels:
            return wanted[2], wanted[3]
        raise state.refusal(node, f"its sizes are {wanted}", "only height and width can be resized")
    factors = [] if scales is None else scales.ravel().tolist()
    if len(factors) != 4 or factors[:2] != [1, 1]:
        raise state.refusal(node, f"its scales are {factors}", "only height and width can be resized")
    wanted = [n * factor for n, factor in zip(size, factors[2:], strict=True)]
    if whole and any(abs(n - round(n)) > WHOLE for n in wanted):
        raise state.refusal(
            node,
            f"its scales {[round(factor, 4) for factor in factors[2:]]} do not give a whole number of pixels",
            "resize to a size, or by a factor that fits",
        )
    return math.floor(wanted[0] + WHOLE), math.floor(wanted[1] + WHOLE)


def depth_to_space(state: OnnxReadState, node: OnnxNode) -> Value:
    """Translate DepthToSpace, which moves groups of channels to neighbouring pixels."""
    source = state.picture(node)
    block = node.integer("blocksize", 1)
    _, height, width, channels = state.builder.shapes[source]
    less = channels // block**2
    column_row_depth = node.text("mode", "DCR") == "CRD"
    inner = (less, block, block) if column_row_depth else (block, block, less)
    parts = state.add(node, Reshape((1, height, width, *inner)), [source], "/parts")
    order = (0, 1, 4, 2, 5, 3) if column_row_depth else (0, 1, 3, 2, 4, 5)
    moved = state.add(node, Transpose(order), [parts], "/moved")
    return Value(state.add(node, Reshape((1, height * block, width * block, less)), [moved]), NCHW)
