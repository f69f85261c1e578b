"""The .tflite operators that edgenet reads, with a rule for each, and advice for some that it does not read.

A rule gives the graph operator that replaces the file's. `RULES` at the end of the file lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.ir import (
    Activation,
    Affine,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    LeakyRelu,
    MatMul,
    Mean,
    Operator,
    Pad,
    Pads,
    Pool,
    PRelu,
    Reduce,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Transpose,
    Unary,
    WithConstant,
)
from edgenet.graph.shapes import GraphBuilder, same_pads
from edgenet.quantize.quantized_graph import Encoding, QuantizedWeights
from edgenet.tflite.program import FileOperator, Program


@dataclass
class ReadState:
    """The state of reading one file.

    Attributes:
        program: the file.
        builder: collects the graph's nodes.
        tensors: maps each file tensor that is computed at inference, by index, to its graph tensor.
        constants: the real numbers of the file tensors whose value is known, by index.
        integers: the integer weights of weighted nodes, by node.
        encodings: the int8 encodings of graph tensors.
        float_nodes: the nodes whose file operator gives float32.
        mixed_type_nodes: the nodes whose file operator reads tensors of another type than it gives.
        requantized: names of file tensors that do not hold a graph tensor as its node made it, but in another
            int8 encoding, or rounded to int8 and turned back to float.
    """

    program: Program
    builder: GraphBuilder
    tensors: dict[int, str] = field(default_factory=dict)
    constants: dict[int, NDArray] = field(default_factory=dict)
    integers: dict[str, QuantizedWeights] = field(default_factory=dict)
    encodings: dict[str, Encoding] = field(default_factory=dict)
    float_nodes: set[str] = field(default_factory=set)
    mixed_type_nodes: set[str] = field(default_factory=set)
    requantized: list[str] = field(default_factory=list)

    def constant(self, operator: FileOperator, position: int) -> NDArray:
        """Return a constant input as real numbers; refuse a computed one."""
        index = operator.inputs[position]
        if index not in self.constants:
            raise self.refusal(operator, f"its input {position} is computed where a constant is expected")
        return self.constants[index]

    def picture_size(self, operator: FileOperator) -> tuple[int, int]:
        """Return the height and width of the first input; refuse an input that is not a picture."""
        shape = self.builder.shapes[self.tensors[operator.inputs[0]]]
        if len(shape) != 4:
            raise self.refusal(operator, f"its input {list(shape)} is not a picture")
        return shape[1], shape[2]

    def refusal(self, operator: FileOperator, why: str, remedy: str = "") -> EdgenetError:
        """Return the error for an unsupported operator; it names the output, operator and input shapes."""
        at = self.program.tensors[operator.outputs[0]].name
        shapes = [list(self.program.tensors[i].shape) for i in operator.inputs if i >= 0]
        return EdgenetError(f"cannot read '{at}', a {operator.kind} with inputs {shapes}: {why}", remedy)


def inputs_of(reading: ReadState, operator: FileOperator) -> list[str]:
    """Return the graph tensors that an operator reads, without its constants."""
    return [reading.tensors[i] for i in operator.inputs if i in reading.tensors]


def _convolution(reading: ReadState, operator: FileOperator) -> Operator:
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


def _fully_connected(reading: ReadState, operator: FileOperator) -> Operator:
    weight = np.asarray(reading.constant(operator, 1), np.float32)
    return FullyConnected(weight, _bias(reading, operator, len(weight)), _activation(reading, operator))


def _bias(reading: ReadState, operator: FileOperator, count: int) -> NDArray[np.float32]:
    if len(operator.inputs) < 3 or operator.inputs[2] < 0:
        return np.zeros(count, np.float32)
    return np.asarray(reading.constant(operator, 2), np.float32)


def _pool(reading: ReadState, operator: FileOperator) -> Operator:
    kind = "max" if operator.kind == "MAX_POOL_2D" else "average"
    if _activation(reading, operator) is not Activation.NONE:
        raise reading.refusal(operator, "it has a fused activation", "put the activation after the pooling")
    size, stride = _pair(operator, "filterHeight", "filterWidth"), _pair(operator, "strideH", "strideW")
    made = Pool(kind, size, stride)
    made = replace(made, pads=_pads(reading, operator, made))
    is_float = reading.program.tensors[operator.outputs[0]].dtype == "float32"
    if kind == "average" and size == reading.picture_size(operator) and not any(made.pads) and is_float:
        return Mean()  # Mean, unlike average pooling, may have its own output scale; XNNPACK runs it in int8
    return made


def _pads(reading: ReadState, operator: FileOperator, made: Conv2D | DepthwiseConv2D | Pool) -> Pads:
    size = reading.picture_size(operator)
    return same_pads(size, made) if operator.options.get("padding") == "SAME" else Pads()


def _pair(operator: FileOperator, height: str, width: str) -> tuple[int, int]:
    return cast(int, operator.options[height]), cast(int, operator.options[width])


BINARY = {"ADD": "add", "SUB": "sub", "MUL": "mul", "DIV": "div"}


def _arithmetic(reading: ReadState, operator: FileOperator) -> Operator:
    kind, activation = BINARY[operator.kind], _activation(reading, operator)
    constants = [i in reading.constants for i in operator.inputs]
    if not any(constants):
        return Binary(kind, activation)
    position = constants.index(True)
    constant = np.asarray(reading.constant(operator, position), np.float32)
    vector = constant.reshape(-1)
    shape = reading.builder.shapes[reading.tensors[operator.inputs[1 - position]]]
    is_float = reading.program.tensors[operator.outputs[0]].dtype == "float32"
    if (
        len(vector) not in (1, shape[-1])
        and is_float
        and activation is Activation.NONE
        and kind in ("add", "mul")
    ):
        return WithConstant(kind, constant)
    if kind == "div" or len(vector) not in (1, shape[-1]) or activation is not Activation.NONE:
        raise reading.refusal(operator, "its constant varies over the picture, or it has a fused activation")
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    if kind == "mul":
        return Affine(vector, zero)
    if kind == "add":
        return Affine(one, vector)
    return Affine(one, -vector) if position == 1 else Affine(-one, vector)


ACTIVATIONS = {"NONE": Activation.NONE, "RELU": Activation.RELU, "RELU6": Activation.RELU6}


def _activation(reading: ReadState, operator: FileOperator) -> Activation:
    name = str(operator.options.get("fusedActivationFunction", "NONE"))
    if name not in ACTIVATIONS:
        raise reading.refusal(operator, f"its fused activation is {name}", "RELU and RELU6 are supported")
    return ACTIVATIONS[name]


def _mean(reading: ReadState, operator: FileOperator) -> Operator:
    rank = len(reading.builder.shapes[reading.tensors[operator.inputs[0]]])
    axes = {int(axis) % rank for axis in np.ravel(reading.constant(operator, 1))}
    is_float = reading.program.tensors[operator.outputs[0]].dtype == "float32"
    if (
        is_float
        and operator.options.get("keepDims")
        and (axes != {1, 2} or rank != 4 or operator.kind == "SUM")
    ):
        return Reduce(operator.kind.lower(), tuple(sorted(axes)))
    if axes != {1, 2} or operator.kind == "SUM":
        raise reading.refusal(
            operator, f"it averages over axes {sorted(axes)}", "only height and width (1, 2) are supported"
        )
    return Mean(bool(operator.options.get("keepDims", False)))


def _pad(reading: ReadState, operator: FileOperator) -> Operator:
    amounts = np.asarray(reading.constant(operator, 1)).reshape(-1, 2)
    if len(amounts) != 4 or amounts[[0, 3]].any():
        raise reading.refusal(operator, f"it pads {amounts.tolist()}", "only height and width can be padded")
    pads = Pads(int(amounts[1, 0]), int(amounts[1, 1]), int(amounts[2, 0]), int(amounts[2, 1]))
    if operator.kind == "PAD":
        return Pad(pads)
    value = float(np.ravel(reading.constant(operator, 2))[0])
    return Pad(pads, 0.0 if value == 0 else float("-inf"))


def _reshape(reading: ReadState, operator: FileOperator) -> Operator:
    return Reshape(reading.program.tensors[operator.outputs[0]].shape)


def _transpose(reading: ReadState, operator: FileOperator) -> Operator:
    return Transpose(tuple(int(axis) for axis in reading.constant(operator, 1)))


def _concat(reading: ReadState, operator: FileOperator) -> Operator:
    axis = cast(int, operator.options["axis"]) % len(reading.program.tensors[operator.outputs[0]].shape)
    if len(operator.inputs) == 2 and operator.inputs[0] in reading.constants:
        return WithConstant("concat", np.asarray(reading.constant(operator, 0), np.float32), axis)
    if _activation(reading, operator) is not Activation.NONE or len(operator.inputs) != len(
        inputs_of(reading, operator)
    ):
        raise reading.refusal(operator, "it joins constants, or has a fused activation")
    return Concat(axis)


def _softmax(reading: ReadState, operator: FileOperator) -> Operator:
    if operator.options.get("beta") != 1.0:
        raise reading.refusal(
            operator, f"its beta is {operator.options.get('beta')}", "only beta 1 is supported"
        )
    return Softmax()


def _prelu(reading: ReadState, operator: FileOperator) -> Operator:
    slope = np.asarray(reading.constant(operator, 1), np.float32)
    channels = reading.builder.shapes[reading.tensors[operator.inputs[0]]][-1]
    if slope.size not in (1, channels):
        raise reading.refusal(operator, "its slope varies over the picture", "use one slope for each channel")
    return PRelu(np.broadcast_to(slope.reshape(-1), (channels,)).copy())


def _slice(reading: ReadState, operator: FileOperator) -> Operator:
    shape = reading.builder.shapes[reading.tensors[operator.inputs[0]]]
    begin, size = (np.ravel(reading.constant(operator, n)).astype(int).tolist() for n in (1, 2))
    ends = (n if length < 0 else first + length for n, first, length in zip(shape, begin, size, strict=True))
    return Slice(tuple(begin), tuple(ends), (1,) * len(shape))


def _strided_slice(reading: ReadState, operator: FileOperator) -> Operator:
    shape = reading.builder.shapes[reading.tensors[operator.inputs[0]]]
    masks = {name: cast(int, operator.options.get(f"{name}Mask", 0)) for name in ("begin", "end")}
    others = ("ellipsisMask", "newAxisMask", "shrinkAxisMask", "offset")
    begins, ends, steps = (np.ravel(reading.constant(operator, n)).astype(int).tolist() for n in (1, 2, 3))
    if any(operator.options.get(name) for name in others) or min(steps) < 1 or len(steps) != len(shape):
        raise reading.refusal(operator, "it slices in a way that is not supported", "use positive steps")
    parts = [
        slice(
            None if masks["begin"] >> axis & 1 else begin, None if masks["end"] >> axis & 1 else end, step
        ).indices(shape[axis])
        for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True))
    ]
    begin, end, stride = zip(*parts, strict=True)
    return Slice(begin, end, stride)


def _resize(reading: ReadState, operator: FileOperator) -> Operator:
    reading.picture_size(operator)
    height, width = np.ravel(reading.constant(operator, 1)).astype(int).tolist()
    kind = "bilinear" if operator.kind == "RESIZE_BILINEAR" else "nearest"
    align, half = (bool(operator.options.get(name)) for name in ("alignCorners", "halfPixelCenters"))
    return Resize(kind, (height, width), align, half)


def _matmul(reading: ReadState, operator: FileOperator) -> Operator:
    if operator.options.get("adjX") or len(inputs_of(reading, operator)) != 2:
        raise reading.refusal(operator, "it transposes its first input, or has a constant one")
    return MatMul(bool(operator.options.get("adjY")))


def _gelu(_: ReadState, operator: FileOperator) -> Operator:
    return Unary("gelu_tanh" if operator.options.get("approximate") else "gelu")


UNARY = {
    "RELU": "relu",
    "RELU6": "relu6",
    "HARD_SWISH": "hard_swish",
    "LOGISTIC": "sigmoid",
    "TANH": "tanh",
    "SQRT": "sqrt",
    "RSQRT": "rsqrt",
}
RULES: dict[str, Callable[[ReadState, FileOperator], Operator]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), _convolution),
    "FULLY_CONNECTED": _fully_connected,
    **dict.fromkeys(BINARY, _arithmetic),
    **{kind: lambda _, operator: Unary(UNARY[operator.kind]) for kind in UNARY},
    "GELU": _gelu,
    "LEAKY_RELU": lambda _, operator: LeakyRelu(float(cast(float, operator.options.get("alpha", 0.0)))),
    "PRELU": _prelu,
    **dict.fromkeys(("MEAN", "SUM"), _mean),
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    **dict.fromkeys(("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"), _resize),
    "BATCH_MATMUL": _matmul,
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), _pool),
    **dict.fromkeys(("PAD", "PADV2"), _pad),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _reshape),
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concat,
    "SOFTMAX": _softmax,
}
RELU6 = "train with ReLU or ReLU6, which int8 keeps best"
FLEX = "convert the network without SELECT_TF_OPS, with operators of TensorFlow Lite only"
NO_FLIP = "edgenet gives RGB; convert the network without the reversal of channels"
REMEDIES: dict[str, str] = {
    "ELU": RELU6,
    **dict.fromkeys(("RELU_N1_TO_1", "RELU_0_TO_1"), "use ReLU6 (0 to 6) or ReLU (0 and up)"),
    **dict.fromkeys(("REVERSE_V2", "REVERSE_SEQUENCE"), NO_FLIP),
    "REDUCE_MAX": "only height and width together are supported",
    "CAST": "only a cast of uint8 pixels to float32, as the first operator, is supported",
    "MIRROR_PAD": "use padding with zeros",
    "TRANSPOSE_CONV": "edgenet takes classifiers, which do not upsample",
    "ARG_MAX": "convert the network without ArgMax, so that it ends in its scores",
    "LOG_SOFTMAX": "convert the network without LogSoftmax; edgenet adds the softmax itself",
}


def remedy_for(kind: str, supported: Sequence[str]) -> str:
    """Return the advice for an operator that edgenet does not take.

    Args:
        kind: the operator.
        supported: the operators that edgenet takes, named if there is no better advice.
    """
    if kind.startswith("CUSTOM 'Flex"):
        return FLEX
    if kind.startswith("CUSTOM"):
        return "convert the network with operators of TensorFlow Lite only"
    return REMEDIES.get(kind, f"edgenet takes {', '.join(sorted({*supported}))}")
