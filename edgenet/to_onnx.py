"""Writes a converted network as .onnx, for those who go on to other compilers (Hailo, ncnn, RKNN, OpenVINO).

A float network becomes plain float32 ONNX. An int8 network becomes QDQ: float operators between pairs of QuantizeLinear
and DequantizeLinear that hold its scales and zero points, with int8 weights per output channel and int32 biases; the
other compilers turn these into integers again. Both take RGB pixels, float32 [1, 3, H, W], 0 to 255, do the
normalization themselves, and give probabilities, float32 [1, classes].

Opset 14, because HardSwish is new in it and the compilers above take it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgenet.errors import EdgenetError
from edgenet.graph.ir import (
    WEIGHTED,
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Mean,
    Node,
    Pad,
    Pads,
    Pool,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)
from edgenet.graph.xnnpack_forms import ROOT, SCALED
from edgenet.manifest import Facts, as_dict
from edgenet.quantize.quantized_graph import Encoding, QuantizedGraph
from edgenet.tflite.program import Program
from edgenet.tflite.to_graph import float_graph, quantized_graph

OPSET, IR_VERSION = 14, 8
INPUT, OUTPUT = "image", "probability"
NCHW = (0, 3, 1, 2)
"""Which axis of [1, H, W, C] each axis of [1, C, H, W] is."""


def onnx_file(program: Program, facts: Facts, labels: Sequence[str] | None) -> bytes:
    """Return the bytes of an .onnx file.

    Args:
        program: what `float_program` or `int8_program` made.
        facts: where the network came from; kept in the file's metadata.
        labels: one per class, kept there too; None to write none.

    Raises:
        EdgenetError: an operator has no counterpart here; the message names it.
    """
    is_float = program.precision() == "float32"
    quantized = None if is_float else quantized_graph(program)
    graph = float_graph(program) if quantized is None else quantized.graph
    writer = _Writer(graph, quantized)
    writer.network(adds_softmax=quantized is not None and program.operators[-1].kind == "SOFTMAX")
    model = helper.make_model(
        helper.make_graph(writer.nodes, facts.name, [writer.source()], [writer.target()], writer.constants),
        producer_name="edgenet",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    facts_text = json.dumps(as_dict(facts), sort_keys=True, ensure_ascii=False)
    notes = {"edgenet": facts_text, **({"labels": "\n".join(labels)} if labels else {})}
    helper.set_model_props(model, notes)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@dataclass
class _Writer:
    """Collects the file's nodes and constants. Pictures, [1, H, W, C] in the graph, are [1, C, H, W] in the file.

    Attributes:
        graph: the network.
        quantized: its integers, or None for a float network.
        real: the file's name of each graph tensor as its node made it.
        coded: the file's name of each graph tensor after QuantizeLinear and DequantizeLinear.
    """

    graph: Graph
    quantized: QuantizedGraph | None
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    real: dict[str, str] = field(default_factory=dict)
    coded: dict[str, str] = field(default_factory=dict)
    last: str = ""

    def source(self) -> onnx.ValueInfoProto:
        """Return the description of the input."""
        return helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, self.shape(self.graph.input))

    def target(self) -> onnx.ValueInfoProto:
        """Return the description of the output."""
        return helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, self.shape(self.graph.output))

    def network(self, adds_softmax: bool) -> None:
        """Write the normalization, all nodes, and the softmax if the graph ends in logits."""
        pixels = self.graph.require_pixels()
        shifted = self.add("Sub", [INPUT, self.constant("zero", np.float32(pixels.zero_point))], "shifted")
        scale = self.constant("scale", np.float32(pixels.scale))
        self.real[self.graph.input] = self.add("Mul", [shifted, scale], "normalized")
        for node in self.graph.nodes:
            made = _operator(self, node)
            self.real[node.output] = self.activated(
                made, getattr(node.operator, "activation", Activation.NONE), node
            )
        scores = self.graph.output
        kept = (
            self.quantized is None
            or self.quantized.graph.producers()[scores].name in self.quantized.kept_float
        )
        last = self.real[scores] if kept or scores not in self._encodings() else self.quantize(scores)
        self.nodes.append(
            helper.make_node("Softmax", [last], [OUTPUT], "softmax", axis=-1)
            if adds_softmax
            else helper.make_node("Identity", [last], [OUTPUT], "output")
        )

    def shape(self, tensor: str) -> list[int]:
        """Return a tensor's shape in the file."""
        shape = self.graph.shapes[tensor]
        return [shape[axis] for axis in NCHW] if len(shape) == 4 else list(shape)

    def inputs(self, node: Node) -> list[str]:
        """Return the file's names of a node's inputs, quantized for an int8 node."""
        is_float = self.quantized is None or node.name in self.quantized.kept_float
        return [
            self.real[name] if is_float and not self._made_in_int8(name) else self.quantize(name)
            for name in node.inputs
        ]

    def _made_in_int8(self, tensor: str) -> bool:
        if self.quantized is None:
            return False
        maker = self.graph.producers().get(tensor)
        return (
            maker is not None
            and maker.name not in self.quantized.kept_float
            and tensor in self.quantized.encodings
        )

    def _encodings(self) -> dict[str, Encoding]:
        return {} if self.quantized is None else dict(self.quantized.encodings)

    def quantize(self, tensor: str) -> str:
        """Return the file's name of a tensor after its QuantizeLinear and DequantizeLinear, which are added once."""
        if tensor not in self.coded:
            encoding = self._encodings()[tensor]
            scale = self.constant(f"{tensor}/scale", np.float32(encoding.scale))
            zero = self.constant(f"{tensor}/zero_point", np.int8(encoding.zero_point))
            stored = self.add("QuantizeLinear", [self.real[tensor], scale, zero], f"{tensor}/int8")
            self.coded[tensor] = self.add("DequantizeLinear", [stored, scale, zero], f"{tensor}/dequantized")
        return self.coded[tensor]

    def activated(self, tensor: str, activation: Activation, node: Node) -> str:
        """Return the tensor after the activation that an operator applies to its own result."""
        if activation is Activation.NONE:
            return tensor
        if activation is Activation.RELU:
            return self.add("Relu", [tensor], f"{node.name}/relu")
        return self.clip(tensor, 6.0, f"{node.name}/relu6")

    def clip(self, tensor: str, highest: float, name: str) -> str:
        """Add a Clip from 0 to a highest value."""
        bounds = [
            self.constant(f"{name}/{end}", np.float32(value))
            for end, value in (("low", 0), ("high", highest))
        ]
        return self.add("Clip", [tensor, *bounds], name)

    def add(self, kind: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node; return its output's name, which is the node's."""
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: NDArray | np.generic) -> str:
        """Add a constant; return its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, node: Node, layout: tuple[int, ...]) -> list[str]:
        """Add a weighted node's weight, with its axes in this order, and its bias; return their names."""
        operator = node.operator
        assert isinstance(operator, WEIGHTED)
        if self.quantized is None or node.name in self.quantized.kept_float:
            weight = np.ascontiguousarray(operator.weight.transpose(layout))
            return [
                self.constant(f"{node.name}/weight", weight),
                self.constant(f"{node.name}/bias", operator.bias),
            ]
        integers = self.quantized.weights[node.name]
        source = np.float32(self.quantized.encodings[node.inputs[0]].scale)
        values = np.ascontiguousarray(integers.values.transpose(layout))
        return [
            self._dequantized(f"{node.name}/weight", values, integers.scales),
            self._dequantized(
                f"{node.name}/bias", integers.bias, (source * integers.scales).astype(np.float32)
            ),
        ]

    def _dequantized(self, name: str, values: NDArray, scales: NDArray[np.float32]) -> str:
        zeros = np.zeros(len(scales), values.dtype)
        parts = [
            self.constant(f"{name}/{part}", array) for part, array in (("scales", scales), ("zeros", zeros))
        ]
        return self.add("DequantizeLinear", [self.constant(f"{name}/stored", values), *parts], name, axis=0)


def _operator(writer: _Writer, node: Node) -> str:
    """Write one node, without its activation; return the name of its result."""
    inputs, name = writer.inputs(node), f"{node.output}/made"
    match node.operator:
        case Conv2D() as conv:
            return _convolution(writer, node, inputs, (0, 3, 1, 2), conv.groups)
        case DepthwiseConv2D():
            return _convolution(writer, node, inputs, (3, 0, 1, 2), writer.graph.shapes[node.inputs[0]][3])
        case FullyConnected():
            return _fully_connected(writer, node, inputs)
        case Affine(scale=scale, offset=offset):
            rank = len(writer.graph.shapes[node.inputs[0]])
            vectors = [vector.reshape(-1, *[1] * (rank - 2)) for vector in (scale, offset)]
            product = writer.add(
                "Mul", [*inputs, writer.constant(f"{name}/factor", vectors[0])], f"{name}/scaled"
            )
            return writer.add("Add", [product, writer.constant(f"{name}/offset", vectors[1])], name)
        case Binary(kind=kind) if kind in BINARY:
            return writer.add(BINARY[kind], inputs, name)
        case Unary(kind="relu6"):
            return writer.clip(inputs[0], 6.0, name)
        case Unary(kind="hard_sigmoid"):
            return writer.add("HardSigmoid", inputs, name, alpha=1 / 6, beta=0.5)
        case Unary() as unary if unary == SCALED:
            root = writer.constant(f"{name}/root", np.float32(ROOT))
            return writer.add("HardSwish", [writer.add("Mul", [*inputs, root], f"{name}/scaled")], name)
        case Unary(kind=kind) if kind in UNARY:
            return writer.add(UNARY[kind], inputs, name)
        case Pool() as pool:
            extra = {} if pool.kind == "max" else {"count_include_pad": 0}
            window = {"kernel_shape": pool.size, "strides": pool.stride, "pads": _pads(pool.pads)}
            return writer.add(
                "MaxPool" if pool.kind == "max" else "AveragePool", inputs, name, **window, **extra
            )
        case Mean(keep_dims=keep):
            return writer.add("ReduceMean", inputs, name, axes=[2, 3], keepdims=int(keep))
        case Pad(pads=pads, value=value):
            return _pad(writer, name, inputs, pads, value)
        case Concat(axis=axis):
            rank = len(writer.graph.shapes[node.output])
            return writer.add("Concat", inputs, name, axis=NCHW.index(axis) if rank == 4 else axis)
        case Reshape():
            return _reshape(writer, node, inputs[0], name)
        case Transpose(permutation=order):
            stored = [NCHW.index(order[axis]) for axis in NCHW] if len(order) == 4 else list(order)
            return writer.add("Transpose", inputs, name, perm=stored)
        case Softmax(log=log) if len(writer.graph.shapes[node.output]) != 4:
            return writer.add("LogSoftmax" if log else "Softmax", inputs, name, axis=-1)
    kind = getattr(node.operator, "kind", None) or type(node.operator).__name__
    raise EdgenetError(
        f"'{node.name}' ({kind}) cannot be written as .onnx", "write a .tflite, which holds it"
    )


BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}
UNARY = {"relu": "Relu", "hard_swish": "HardSwish", "sigmoid": "Sigmoid", "tanh": "Tanh", "sqrt": "Sqrt"}


def _convolution(writer: _Writer, node: Node, inputs: list[str], layout: tuple[int, ...], groups: int) -> str:
    operator = node.operator
    assert isinstance(operator, Conv2D | DepthwiseConv2D)
    return writer.add(
        "Conv",
        [*inputs, *writer.weights(node, layout)],
        f"{node.output}/made",
        strides=operator.stride,
        dilations=operator.dilation,
        pads=_pads(operator.pads),
        group=groups,
    )


def _pads(pads: Pads) -> list[int]:
    return [pads.top, pads.left, pads.bottom, pads.right]


def _fully_connected(writer: _Writer, node: Node, inputs: list[str]) -> str:
    shape, name = writer.graph.shapes[node.inputs[0]], f"{node.output}/made"
    weight, bias = writer.weights(node, (0, 1))
    if len(shape) == 2:
        return writer.add("Gemm", [*inputs, weight, bias], name, transB=1)
    if len(shape) == 4 and shape[1:3] == (1, 1):
        flat = writer.add("Flatten", inputs, f"{name}/flat")
        made = writer.add("Gemm", [flat, weight, bias], f"{name}/row", transB=1)
        return _reshaped(writer, made, writer.shape(node.output), name)
    raise EdgenetError(
        f"'{node.name}' (a matrix product over {list(shape)}) cannot be written as .onnx",
        "write a .tflite, which holds it",
    )


def _pad(writer: _Writer, name: str, inputs: list[str], pads: Pads, value: float) -> str:
    around = np.array([0, 0, pads.top, pads.left, 0, 0, pads.bottom, pads.right], np.int64)
    lowest = np.float32(max(value, float(np.finfo(np.float32).min)))
    sizes = [writer.constant(f"{name}/around", around), writer.constant(f"{name}/value", lowest)]
    return writer.add("Pad", [*inputs, *sizes], name)


def _reshape(writer: _Writer, node: Node, source: str, name: str) -> str:
    """Write a reshape, whose values stand in the order of [1, H, W, C]."""
    before, after = writer.graph.shapes[node.inputs[0]], writer.graph.shapes[node.output]
    if len(before) == 4 and before[1:3] != (1, 1):
        source = writer.add("Transpose", [source], f"{name}/last", perm=[0, 2, 3, 1])
    if len(after) != 4 or after[1:3] == (1, 1):
        return _reshaped(writer, source, writer.shape(node.output), name)
    whole = _reshaped(writer, source, list(after), f"{name}/shaped")
    return writer.add("Transpose", [whole], name, perm=list(NCHW))


def _reshaped(writer: _Writer, source: str, shape: list[int], name: str) -> str:
    return writer.add("Reshape", [source, writer.constant(f"{name}/shape", np.array(shape, np.int64))], name)
