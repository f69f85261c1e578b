"""Writes the operators that are computed in float32 also in an int8 file, as steps that XNNPACK runs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgenet.graph.ir import Binary, MatMul, Node, Reduce, Shape, Standardize, Unary, WithConstant
from edgenet.tflite.emit_state import EmitState


def emit_float_only(state: EmitState, node: Node) -> None:
    """Write one node of the kinds for which `float_only` is true."""
    inputs = tuple(state.tensor_as(name, is_float=True) for name in node.inputs)
    operator = node.operator
    build = state.builder
    options: Mapping[str, object] = {}
    match operator:
        case Standardize():
            _standardize(state, node, operator, inputs[0])
            return
        case MatMul():
            kind, version, options = "BATCH_MATMUL", 1, {"adjX": False, "adjY": operator.transpose_second}
        case Reduce():
            kind, version, options = operator.kind.upper(), 1, {"keepDims": True}
            inputs = (*inputs, build.constant(f"{node.name}/axes", np.array(operator.axes, np.int32)))
        case WithConstant(kind="concat"):
            kind, version, options = "CONCATENATION", 1, {"axis": operator.axis}
            inputs = (build.constant(f"{node.name}/constant", operator.value), *inputs)
        case WithConstant():
            kind, version, options = operator.kind.upper(), 1, PLAIN
            inputs = (*inputs, build.constant(f"{node.name}/constant", operator.value))
        case Binary():
            kind, version = operator.kind.upper(), 1
            options = {"fusedActivationFunction": operator.activation.name}
        case Unary():
            kind, version = operator.kind.upper(), 1
        case _:
            raise TypeError(f"{type(operator).__name__} is not computed in float only")
    build.operator(kind, version, inputs, state.activation_tensor(node.output, is_float=True), options)


PLAIN: Mapping[str, object] = {"fusedActivationFunction": "NONE"}


def _standardize(state: EmitState, node: Node, operator: Standardize, source: int) -> None:
    """Write (x - mean) / sqrt(variance + epsilon) as seven operators."""
    build, name = state.builder, node.name
    whole = state.graph.shapes[node.output]
    small = tuple(1 if axis in operator.axes else n for axis, n in enumerate(whole))
    axes = build.constant(f"{name}/axes", np.array(operator.axes, np.int32))
    epsilon = build.constant(f"{name}/epsilon", np.full(1, operator.epsilon, np.float32))

    def step(
        kind: str, inputs: tuple[int, ...], what: str, shape: Shape, options: Mapping[str, object]
    ) -> int:
        return build.operator(kind, 1, inputs, build.tensor(f"{name}/{what}", shape, "float32"), options)

    mean = step("MEAN", (source, axes), "mean", small, {"keepDims": True})
    centred = step("SUB", (source, mean), "centred", whole, PLAIN)
    square = step("MUL", (centred, centred), "square", whole, PLAIN)
    variance = step("MEAN", (square, axes), "variance", small, {"keepDims": True})
    shifted = step("ADD", (variance, epsilon), "shifted", small, PLAIN)
    factor = step("RSQRT", (shifted,), "factor", small, {})
    build.operator("MUL", 1, (centred, factor), state.activation_tensor(node.output, is_float=True), PLAIN)
