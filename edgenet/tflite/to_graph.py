"""From the file's operators back to the graph: float files to float graphs, int8 files to quantized graphs.

The inverse of `emit`, for files of edgenet and of other tools.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.builder import GraphBuilder
from edgenet.graph.ir import Graph, PixelEncoding
from edgenet.graph.operators import (
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Pad,
    Pads,
    Pool,
    Reshape,
    Softmax,
    Transpose,
    Unary,
)
from edgenet.graph.shapes import same_pads
from edgenet.quantize.encodings import Encoding, QuantizedGraph, QuantizedWeights
from edgenet.tflite.program import FileOperator, FileTensor, Program

UNARY = {"RELU": "relu", "RELU6": "relu6", "HARD_SWISH": "hard_swish", "LOGISTIC": "sigmoid"}
BINARY = {"ADD": "add", "SUB": "sub", "MUL": "mul"}
ACTIVATIONS = {"NONE": Activation.NONE, "RELU": Activation.RELU, "RELU6": Activation.RELU6}
IN_PLACE = ("QUANTIZE", "DEQUANTIZE")


@dataclass
class Reading:
    """The state of one reading.

    Attributes:
        tensors: graph tensor of each file tensor that the device computes.
        constants: file tensors whose value is known, as real numbers.
        integers: the integer weights of weighted nodes, by node.
    """

    program: Program
    builder: GraphBuilder
    tensors: dict[int, str] = field(default_factory=dict)
    constants: dict[int, NDArray] = field(default_factory=dict)
    integers: dict[str, QuantizedWeights] = field(default_factory=dict)
    encodings: dict[str, Encoding] = field(default_factory=dict)

    def constant(self, operator: FileOperator, position: int) -> NDArray:
        """A constant input as real numbers."""
        index = operator.inputs[position]
        if index not in self.constants:
            raise self.refuse(operator, f"its input {position} is computed where a constant is expected")
        return self.constants[index]

    def picture_size(self, operator: FileOperator) -> tuple[int, int]:
        """Height and width of the first input."""
        shape = self.builder.shapes[self.tensors[operator.inputs[0]]]
        if len(shape) != 4:
            raise self.refuse(operator, f"its input {list(shape)} is no picture")
        return shape[1], shape[2]

    def refuse(self, operator: FileOperator, why: str, remedy: str = "") -> EdgenetError:
        """The error for an operator that cannot be taken."""
        at = self.program.tensors[operator.outputs[0]].name
        shapes = [list(self.program.tensors[i].shape) for i in operator.inputs if i >= 0]
        return EdgenetError(f"cannot read '{at}', a {operator.kind} with inputs {shapes}: {why}", remedy)


def float_graph(program: Program) -> Graph:
    """The graph of a float file; it takes pixels where the file does (uint8 input), else normalized numbers.

    Raises:
        EdgenetError: an int8 file, or an operator that is not supported.
    """
    reading = _read(program)
    if reading.integers:
        raise EdgenetError("the .tflite is int8 already", "give the float file it was made from")
    source = program.tensors[program.input].quantization
    pixels = PixelEncoding(source.scales[0], source.zero_points[0]) if source is not None else None
    return reading.builder.graph(reading.tensors[program.output], pixels)


def quantized_graph(program: Program) -> QuantizedGraph:
    """The quantized graph of an int8 file, up to the logits.

    Raises:
        EdgenetError: a float file, or an operator that is not supported.
    """
    reading = _read(program)
    if not reading.integers:
        raise EdgenetError("the .tflite is not int8", "give a file with int8 weights")
    graph = reading.builder.graph(_last_int8(reading))
    encoding = reading.encodings[graph.input]
    graph = replace(graph, pixels=PixelEncoding(encoding.scale, encoding.zero_point + 128))
    needed = _up_to(graph)
    encodings = {name: e for name, e in reading.encodings.items() if name in needed.shapes}
    return QuantizedGraph(needed, encodings, reading.integers)


def _up_to(graph: Graph) -> Graph:
    names = [node.output for node in graph.nodes]
    return graph.with_nodes(graph.nodes[: names.index(graph.output) + 1])


def _last_int8(reading: Reading) -> str:
    """The tensor behind which the file leaves int8: what the last DEQUANTIZE reads, or the output."""
    for operator in reversed(reading.program.operators):
        if operator.kind == "DEQUANTIZE" and reading.program.tensors[operator.inputs[0]].dtype == "int8":
            return reading.tensors[operator.inputs[0]]
    return reading.tensors[reading.program.output]


def _read(program: Program) -> Reading:
    source = program.tensors[program.input]
    if len(source.shape) != 4 or source.shape[0] != 1 or source.shape[3] != 3:
        raise EdgenetError(
            f"the .tflite takes {list(source.shape)}, edgenet reads image classifiers", "it should take [1, H, W, 3]"
        )
    reading = Reading(program, GraphBuilder(program.name or "network", source.name, source.shape))
    reading.tensors[program.input] = source.name
    _note_encoding(reading, program.input, source.name)
    for index, tensor in enumerate(program.tensors):
        if tensor.data is not None:
            reading.constants[index] = _real(tensor)
    for operator in program.operators:
        _read_operator(reading, operator)
    return reading


def _real(tensor: FileTensor) -> NDArray:
    """A constant's real numbers: integers of index tensors stay, quantized ones are scaled."""
    assert tensor.data is not None
    if tensor.quantization is None:
        return tensor.data.astype(np.float32) if tensor.dtype == "float16" else tensor.data
    quantization = tensor.quantization
    shape = [1] * tensor.data.ndim
    if len(quantization.scales) > 1:
        shape[quantization.axis] = -1
    scales = np.array(quantization.scales, np.float32).reshape(shape)
    zeros = np.array(quantization.zero_points, np.float32).reshape(shape)
    return ((tensor.data.astype(np.float32) - zeros) * scales).astype(np.float32)


def _note_encoding(reading: Reading, index: int, name: str) -> None:
    tensor = reading.program.tensors[index]
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
        return
    offset = -128 if tensor.dtype == "uint8" else 0
    encoding = Encoding(tensor.quantization.scales[0], tensor.quantization.zero_points[0] + offset)
    reading.encodings[name] = encoding


def _read_operator(reading: Reading, operator: FileOperator) -> None:
    output = operator.outputs[0]
    if all(i < 0 or i in reading.constants for i in operator.inputs) and operator.kind in IN_PLACE:
        reading.constants[output] = np.asarray(reading.constants[operator.inputs[0]], np.float32)
        return
    if operator.kind in IN_PLACE:
        reading.tensors[output] = reading.tensors[operator.inputs[0]]
        return
    rule = RULES.get(operator.kind)
    if rule is None:
        raise reading.refuse(operator, "this operator is not supported", f"edgenet takes {', '.join(sorted(RULES))}")
    made = rule(reading, operator)
    inputs = [reading.tensors[i] for i in operator.inputs if i in reading.tensors]
    name = reading.builder.add(made, inputs, reading.program.tensors[output].name)
    reading.tensors[output] = name
    _note_encoding(reading, output, name)
    if isinstance(made, Conv2D | DepthwiseConv2D | FullyConnected):
        _note_integers(reading, operator, made, name)


def _note_integers(
    reading: Reading, operator: FileOperator, made: Conv2D | DepthwiseConv2D | FullyConnected, name: str
) -> None:
    weight = reading.program.tensors[operator.inputs[1]]
    if weight.dtype != "int8" or weight.quantization is None or weight.data is None:
        return
    count = len(made.bias)
    scales = np.broadcast_to(np.array(weight.quantization.scales, np.float32), (count,)).copy()
    bias = np.zeros(count, np.int32)
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        data = reading.program.tensors[operator.inputs[2]].data
        bias = bias if data is None else data.astype(np.int32)
    reading.integers[name] = QuantizedWeights(weight.data.reshape(made.weight.shape), scales, bias)


def _activation(reading: Reading, operator: FileOperator) -> Activation:
    name = str(operator.options.get("fusedActivationFunction", "NONE"))
    if name not in ACTIVATIONS:
        raise reading.refuse(operator, f"its fused activation is {name}", "RELU and RELU6 are supported")
    return ACTIVATIONS[name]


def _bias(reading: Reading, operator: FileOperator, count: int) -> NDArray[np.float32]:
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return np.zeros(count, np.float32)
    return np.asarray(reading.constant(operator, 2), np.float32)


def _pair(operator: FileOperator, height: str, width: str) -> tuple[int, int]:
    return cast(int, operator.options[height]), cast(int, operator.options[width])


def _convolution(reading: Reading, operator: FileOperator) -> Operator:
    weight = np.asarray(reading.constant(operator, 1), np.float32)
    stride, dilation = (
        _pair(operator, "strideH", "strideW"),
        _pair(operator, "dilationHFactor", "dilationWFactor"),
    )
    activation = _activation(reading, operator)
    made: Conv2D | DepthwiseConv2D
    if operator.kind == "DEPTHWISE_CONV_2D":
        bias = _bias(reading, operator, weight.shape[3])
        made = DepthwiseConv2D(weight, bias, stride, dilation, activation=activation)
    else:
        channels = reading.builder.shapes[reading.tensors[operator.inputs[0]]][3]
        bias, groups = _bias(reading, operator, weight.shape[0]), channels // weight.shape[3]
        made = Conv2D(weight, bias, stride, dilation, groups=groups, activation=activation)
    return replace(made, pads=_pads(reading, operator, made))


def _pads(reading: Reading, operator: FileOperator, made: Conv2D | DepthwiseConv2D | Pool) -> Pads:
    size = reading.picture_size(operator)
    return same_pads(size, made) if operator.options.get("padding") == "SAME" else Pads()


def _fully_connected(reading: Reading, operator: FileOperator) -> Operator:
    weight = np.asarray(reading.constant(operator, 1), np.float32)
    return FullyConnected(weight, _bias(reading, operator, len(weight)), _activation(reading, operator))


def _arithmetic(reading: Reading, operator: FileOperator) -> Operator:
    kind, activation = BINARY[operator.kind], _activation(reading, operator)
    constants = [i in reading.constants for i in operator.inputs]
    if not any(constants):
        return Binary(kind, activation)
    position = constants.index(True)
    vector = np.asarray(reading.constant(operator, position), np.float32).reshape(-1)
    shape = reading.builder.shapes[reading.tensors[operator.inputs[1 - position]]]
    if len(vector) not in (1, shape[-1]) or activation is not Activation.NONE:
        raise reading.refuse(operator, "its constant varies over the picture, or it has a fused activation")
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if kind == "mul":
        return Affine(vector, zero)
    if kind == "add":
        return Affine(one, vector)
    return Affine(one, -vector) if position == 1 else Affine(-one, vector)


def _mean(reading: Reading, operator: FileOperator) -> Operator:
    axes = {int(axis) % 4 for axis in np.ravel(reading.constant(operator, 1))}
    if axes != {1, 2}:
        raise reading.refuse(operator, f"it means axes {sorted(axes)}", "only height and width (1, 2) are supported")
    return Mean(bool(operator.options.get("keepDims", False)))


def _pool(reading: Reading, operator: FileOperator) -> Operator:
    kind = "max" if operator.kind == "MAX_POOL_2D" else "average"
    size, stride = _pair(operator, "filterHeight", "filterWidth"), _pair(operator, "strideH", "strideW")
    made = Pool(kind, size, stride)
    if kind == "average" and size == reading.picture_size(operator) and operator.options.get("padding") == "VALID":
        return Mean(keep_dims=True)
    return replace(made, pads=_pads(reading, operator, made))


def _pad(reading: Reading, operator: FileOperator) -> Operator:
    amounts = np.asarray(reading.constant(operator, 1)).reshape(-1, 2)
    if len(amounts) != 4 or amounts[[0, 3]].any():
        raise reading.refuse(operator, f"it pads {amounts.tolist()}", "only height and width can be padded")
    pads = Pads(int(amounts[1, 0]), int(amounts[1, 1]), int(amounts[2, 0]), int(amounts[2, 1]))
    if operator.kind == "PAD":
        return Pad(pads)
    value = float(np.ravel(reading.constant(operator, 2))[0])
    return Pad(pads, 0.0 if value == 0 else float("-inf"))


def _reshape(reading: Reading, operator: FileOperator) -> Operator:
    return Reshape(reading.program.tensors[operator.outputs[0]].shape)


def _transpose(reading: Reading, operator: FileOperator) -> Operator:
    return Transpose(tuple(int(axis) for axis in reading.constant(operator, 1)))


def _concat(reading: Reading, operator: FileOperator) -> Operator:
    rank = len(reading.program.tensors[operator.outputs[0]].shape)
    return Concat(cast(int, operator.options["axis"]) % rank)


RULES: dict[str, Callable[[Reading, FileOperator], Operator]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    "FULLY_CONNECTED": _fully_connected,
    **dict.fromkeys(BINARY, _arithmetic),
    **{kind: lambda _, operator: Unary(UNARY[operator.kind]) for kind in UNARY},
    "MEAN": _mean,
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pool),
    **dict.fromkeys(("PAD", "PADV2"), _pad),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concat,
    "SOFTMAX": lambda _reading, _operator: Softmax(),
}
