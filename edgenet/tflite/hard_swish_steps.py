"""Functions that XNNPACK does not run in int8, written as additions and multiplications, which it runs.

- A scaled_hard_swish is an ADD and a MUL; `graph.hard_swish` says why. In float it is a MUL and a HARD_SWISH.
- A ReLU or ReLU6 that stands alone is an ADD of zero, which applies it to its result. Input and output have the same
  scale, so the addition changes nothing.

Whoever reads a quantized file gets the functions back (`join_steps`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edgenet.graph.hard_swish import ROOT
from edgenet.graph.ir import Node, Unary
from edgenet.quantize.quantized_graph import GATE, GATE_SHIFT, HIGH, Encoding
from edgenet.tflite.emit_state import EmitState, file_quantization
from edgenet.tflite.program import FileOperator, FileTensor, Program

PAIR = "SCALED_HARD_SWISH"
"""The kind that stands for both operators of a pair while a file is read; no file has it."""
PLAIN = {"fusedActivationFunction": "NONE"}


def emit_scaled_hard_swish(state: EmitState, node: Node) -> None:
    """Write one scaled_hard_swish."""
    build, is_float = state.builder, state.is_float(node)
    source = state.tensor_as(node.inputs[0], is_float)
    shape = state.graph.shapes[node.output]
    if is_float:
        root = build.constant(f"{node.name}/root", np.full(1, ROOT, np.float32))
        scaled = build.operator(
            "MUL", 1, (source, root), build.tensor(f"{node.name}/scaled", shape, "float32"), PLAIN
        )
        build.operator("HARD_SWISH", 1, (scaled,), state.activation_tensor(node.output, is_float))
        return
    shift = build.constant(f"{node.name}/shift", np.full(1, HIGH, np.int8), file_quantization(GATE_SHIFT))
    gate = build.tensor(f"{node.name}/gate", shape, "int8", file_quantization(GATE))
    build.operator("ADD", 2, (source, shift), gate, PLAIN)
    build.operator("MUL", 2, (source, gate), state.activation_tensor(node.output, is_float), PLAIN)


def emit_lone_relu(state: EmitState, node: Node) -> bool:
    """Write one int8 ReLU or ReLU6 and return True; return False for any other node."""
    if node.operator not in FUSED or state.quantized is None or state.is_float(node):
        return False
    encoding = state.quantized.encodings[node.output]
    if state.quantized.encodings[node.inputs[0]] != encoding:
        return False
    zero = file_quantization(Encoding(encoding.scale, 0))
    inputs = (
        state.tensor_as(node.inputs[0], is_float=False),
        state.builder.constant(f"{node.name}/zero", np.zeros(1, np.int8), zero),
    )
    output = state.activation_tensor(node.output, is_float=False)
    state.builder.operator("ADD", 2, inputs, output, {"fusedActivationFunction": FUSED[node.operator]})
    return True


FUSED = {Unary("relu"): "RELU", Unary("relu6"): "RELU6"}


def join_steps(program: Program) -> Program:
    """Return the program with the functions that these operators stand for.

    Every pair that edgenet writes for a scaled_hard_swish becomes one operator of the kind PAIR, and every addition of
    zero with an activation becomes that activation.
    """
    joined = _join_hard_swish(program)
    return replace(joined, operators=tuple(_without_zero(program, one) for one in joined.operators))


def _without_zero(program: Program, one: FileOperator) -> FileOperator:
    activation = str(one.options.get("fusedActivationFunction", "NONE"))
    if one.kind != "ADD" or len(one.inputs) != 2 or min(one.inputs) < 0 or activation not in FUSED.values():
        return one
    source, zero, output = (program.tensors[i] for i in (*one.inputs, one.outputs[0]))
    is_zero = zero.data is not None and zero.dtype == "int8" and not zero.data.any()
    if not is_zero or zero.quantization is None or set(zero.quantization.zero_points) != {0}:
        return one
    if zero.data is None or zero.data.size != 1 or source.quantization != output.quantization:
        return one
    return FileOperator(activation, 1, one.inputs[:1], one.outputs)


def _join_hard_swish(program: Program) -> Program:
    makers = {one.outputs[0]: one for one in program.operators}
    reads = Counter(index for one in program.operators for index in one.inputs)
    first_of = {
        second.outputs[0]: makers[second.inputs[-1]]
        for second in program.operators
        if second.inputs and reads[second.inputs[-1]] == 1 and second.inputs[-1] in makers
        if _is_pair(program, makers[second.inputs[-1]], second)
    }
    operators = []
    gone = {first.outputs[0] for first in first_of.values()}
    for one in program.operators:
        first = first_of.get(one.outputs[0])
        if one.outputs[0] not in gone:
            operators.append(FileOperator(PAIR, 1, first.inputs[:1], one.outputs) if first else one)
    return replace(program, operators=tuple(operators))


def _is_pair(program: Program, first: FileOperator, second: FileOperator) -> bool:
    if len(first.inputs) != 2 or min(first.inputs) < 0 or not (_is_plain(first) and _is_plain(second)):
        return False
    constant, between = program.tensors[first.inputs[1]], program.tensors[first.outputs[0]]
    if constant.data is None or constant.data.size != 1:
        return False
    if (first.kind, second.kind) == ("MUL", "HARD_SWISH"):
        return constant.dtype == "float32" and constant.data.ravel()[0] == np.float32(ROOT)
    return (
        (first.kind, second.kind) == ("ADD", "MUL")
        and second.inputs == (first.inputs[0], first.outputs[0])
        and int(constant.data.ravel()[0]) == HIGH
        and _encoded(constant, GATE_SHIFT)
        and _encoded(between, GATE)
    )


def _encoded(tensor: FileTensor, encoding: Encoding) -> bool:
    return tensor.dtype == "int8" and tensor.quantization == file_quantization(encoding)


def _is_plain(one: FileOperator) -> bool:
    return one.options.get("fusedActivationFunction", "NONE") == "NONE"
