"""Writing a graph's tensors and operators: the state of writing, and the operators that are written as several steps.

- An operator that is computed in float32 also in an int8 file is written as steps that XNNPACK runs.
- A scaled_hard_swish is an ADD and a MUL; `graph.xnnpack_forms` says why. In float it is a MUL and a HARD_SWISH.
- A ReLU or ReLU6 that stands alone is an ADD of zero, which applies it to its result. Input and output have the same
  scale, so the addition changes nothing.

Whoever reads a quantized file gets the last two back as single functions (`join_steps`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from edgenet.graph.ir import Binary, Graph, MatMul, Node, Reduce, Shape, Standardize, Unary, WithConstant
from edgenet.graph.xnnpack_forms import ROOT
from edgenet.quantize.quantized_graph import GATE, GATE_SHIFT, HIGH, Encoding, QuantizedGraph
from edgenet.tflite.program import FileOperator, FileTensor, Program, ProgramBuilder, Quantization


@dataclass
class EmitState:
    """The state of writing one graph.

    Attributes:
        graph: the graph to write.
        quantized: its integer weights and encodings, or None for a float file.
        builder: collects the file's tensors and operators.
        native: maps each graph tensor so far to the file tensor that its node makes, int8 or float32.
        converted: maps a graph tensor to its file tensor in the other of these two types, where one was
            needed.
    """

    graph: Graph
    quantized: QuantizedGraph | None
    builder: ProgramBuilder
    native: dict[str, int]
    converted: dict[str, int] = field(default_factory=dict)

    def is_float(self, node: Node) -> bool:
        """Return whether a node is computed in float32."""
        return self.quantized is None or node.name in self.quantized.kept_float

    def activation_tensor(self, name: str, is_float: bool) -> int:
        """Add the file tensor for a graph tensor, float32 or int8 with its encoding; return its index."""
        self.native[name] = self._tensor(name, is_float, name)
        return self.native[name]

    def tensor_as(self, name: str, is_float: bool, called: str | None = None) -> int:
        """Return the file tensor of a graph tensor in one type; convert it once if its node makes the other.

        Args:
            name: the graph tensor.
            is_float: True for float32, False for int8.
            called: the name for a converted tensor.
        """
        made = self.native[name]
        if (self.builder.tensors[made].dtype == "float32") == is_float:
            return made
        if name not in self.converted:
            kind, version, suffix = ("DEQUANTIZE", 2, "real") if is_float else ("QUANTIZE", 1, "int8")
            target = self._tensor(name, is_float, called or f"{name}/{suffix}")
            self.converted[name] = self.builder.operator(kind, version, (made,), target)
        return self.converted[name]

    def _tensor(self, name: str, is_float: bool, called: str) -> int:
        shape = self.graph.shapes[name]
        if is_float:
            return self.builder.tensor(called, shape, "float32")
        assert self.quantized is not None
        return self.builder.tensor(called, shape, "int8", file_quantization(self.quantized.encodings[name]))


def file_quantization(encoding: Encoding) -> Quantization:
    """Convert a tensor's encoding to the form that the file holds."""
    return Quantization((encoding.scale,), (encoding.zero_point,))


PAIR = "SCALED_HARD_SWISH"
"""The kind that stands for both operators of a pair while a file is read; no file has it."""
PLAIN: Mapping[str, object] = {"fusedActivationFunction": "NONE"}


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
