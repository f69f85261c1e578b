"""Rules for ONNX's poolings and reductions over the picture, and for padding around the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgenet.graph.operators import Affine, Mean, Pad, Pads, Pool
from edgenet.graph.readers.onnx_matrix import pair, window_pads
from edgenet.graph.readers.translation import NCHW, OnnxNode, Translation, Value, reshape

PICTURE = {1, 2}
"""The graph axes of height and width."""


def pool(state: Translation, node: OnnxNode) -> Value:
    """Translate MaxPool and AveragePool, including ceil_mode and count_include_pad (not both at once)."""
    source = state.picture(node)
    if set(node.integers("dilations", (1, 1))) != {1}:
        raise state.refuse(node, "its window has holes (dilations)", "use dilation 1")
    kind = "max" if node.kind == "MaxPool" else "average"
    operator = Pool(kind, pair(state, node, "kernel_shape"), pair(state, node, "strides"))
    pads = window_pads(state, node, source, operator)
    extra = _rounding_up(state, node, source, replace(operator, pads=pads))
    if kind == "average" and any(pads) and node.integer("count_include_pad", 0):
        if any(extra):
            raise state.refuse(node, "it counts padding and rounds up (ceil_mode)", "use ceil_mode=False")
        source = state.add(node, Pad(pads), [source], "/pad")
        pads = Pads()
    pads = Pads(pads.top, pads.bottom + extra[0], pads.left, pads.right + extra[1])
    return Value(state.add(node, replace(operator, pads=pads), [source]), NCHW)


def _rounding_up(state: Translation, node: OnnxNode, source: str, operator: Pool) -> tuple[int, int]:
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


def global_pool(state: Translation, node: OnnxNode) -> Value:
    """Translate GlobalAveragePool and GlobalMaxPool."""
    source = state.picture(node)
    if node.kind == "GlobalAveragePool":
        return Value(state.add(node, Mean(), [source]), NCHW)
    return Value(_largest(state, node, source), NCHW)


def _largest(state: Translation, node: OnnxNode, source: str) -> str:
    _, height, width, _ = state.builder.shapes[source]
    return state.add(node, Pool("max", (height, width), (1, 1)), [source])


def reduce(state: Translation, node: OnnxNode) -> Value:
    """Translate ReduceMean, ReduceSum and ReduceMax over height and width."""
    value = state.four_axes(node)
    axes = tuple(axis % 4 for axis in state.whole_numbers(node, 1, "axes"))
    if {value.axes[axis] for axis in axes} != PICTURE:
        raise state.refuse(
            node, f"it reduces the axes {list(axes)}", "only height and width together are supported"
        )
    _, height, width, _ = state.builder.shapes[value.tensor]
    if node.kind == "ReduceMax":
        result = _largest(state, node, value.tensor)
    else:
        result = state.add(node, Mean(), [value.tensor])
    if node.kind == "ReduceSum":
        count = np.full(1, height * width, np.float32)
        result = state.add(node, Affine(count, np.zeros(1, np.float32)), [result], "/sum")
    reduced = replace(value, tensor=result)
    if node.integer("keepdims", 1):
        return reduced
    kept = tuple(n for axis, n in enumerate(state.shape(reduced)) if axis not in axes)
    return reshape(state, node, reduced, kept)


def pad(state: Translation, node: OnnxNode) -> Value:
    """Translate Pad with zeros around the picture."""
    value = state.four_axes(node)
    given = state.constant(node, 2)
    number = node.number("value", 0.0) if given is None else float(given.ravel()[0])
    mode = node.text("mode", "constant")
    if mode != "constant" or number != 0:
        found = f"in the mode '{mode}'" if mode != "constant" else f"with {number:g}"
        raise state.refuse(node, f"it pads {found}", "only padding with zeros is supported")
    axes = [axis % 4 for axis in state.whole_numbers(node, 3, "axes")] or [0, 1, 2, 3]
    amounts = state.whole_numbers(node, 1, "pads")
    before, after = amounts[: len(axes)], amounts[len(axes) :]
    around = {value.axes[axis]: (a, b) for axis, a, b in zip(axes, before, after, strict=True)}
    if any(any(ends) for axis, ends in around.items() if axis not in PICTURE) or min(amounts) < 0:
        raise state.refuse(node, f"it pads by {list(amounts)}", "only height and width can be padded")
    pads = Pads(*around.get(1, (0, 0)), *around.get(2, (0, 0)))
    if not any(pads):
        return value
    return replace(value, tensor=state.add(node, Pad(pads), [value.tensor]))
