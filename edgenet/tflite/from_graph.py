"""Turns a float, int8 or mixed graph into a .tflite file that every client takes: first its program, then its bytes.

The file takes uint8 pixels and gives float32 scores, for int8 and float networks. This input and output were
chosen by measuring (MediaPipe, ML Kit and LiteRT.js refuse int8 inputs and outputs; XNNPACK does not run a
direct uint8-to-int8 QUANTIZE or an int8 SOFTMAX):

    image uint8 -> DEQUANTIZE -> QUANTIZE -> int8 network -> DEQUANTIZE -> SOFTMAX -> probability float32

If the first layer is float, as in every float file, there is no QUANTIZE before it; if the last layer is
float, there is no DEQUANTIZE before the SOFTMAX. A tensor that int8 and float operators share gets a single
QUANTIZE or DEQUANTIZE, just before the first operator that reads it in the other form.

Layouts and operator versions are those of the TFLite 8-bit quantization specification and its schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from edgenet.data.labels import labels_text
from edgenet.graph.ir import (
    Activation,
    Binary,
    Concat,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    LeakyRelu,
    Mean,
    Node,
    Pad,
    Pool,
    PRelu,
    Reshape,
    Resize,
    Slice,
    Softmax,
    Transpose,
    Unary,
    Weighted,
    float_only,
    output_axis,
)
from edgenet.graph.lower import file_padding
from edgenet.graph.xnnpack_forms import SCALED
from edgenet.manifest import Facts, as_dict
from edgenet.quantize.quantized_graph import LOW, QuantizedGraph, quantized_slopes
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.metadata import FACTS_FILE, LABELS_FILE, ImageTensor, ModelInfo, metadata_buffer
from edgenet.tflite.operator_steps import (
    EmitState,
    emit_float_only,
    emit_lone_relu,
    emit_scaled_hard_swish,
    file_quantization,
)
from edgenet.tflite.program import Program, ProgramBuilder, Quantization


def float_program(graph: Graph) -> Program:
    """Return the file of a lowered float graph."""
    return _client_program(graph, None)


def int8_program(quantized: QuantizedGraph) -> Program:
    """Return the file of a quantized graph."""
    return _client_program(quantized.graph, quantized)


def raw_program(quantized: QuantizedGraph) -> Program:
    """Return a file with int8 pixels in and the last layer's logits out, without conversions or softmax.

    It serves to check edgenet's integer execution against LiteRT.
    """
    state = EmitState(quantized.graph, quantized, ProgramBuilder(quantized.graph.name), {})
    source = state.activation_tensor(quantized.graph.input, is_float=False)
    return state.builder.program(source, emit_nodes(state))


def write_model(
    program: Program, facts: Facts, labels: Sequence[str] | None, pixels: Quantization | None = None
) -> bytes:
    """Return the bytes of a .tflite file with its metadata, labels and facts.

    Args:
        program: from `float_program` or `int8_program`, so in the layout that every client takes; or one of its forms.
        facts: kept beside the labels as JSON, for `edgenet package`.
        labels: one per output, or None to write none.
        pixels: the encoding of uint8 pixels, for a form that takes something else; None for the input's own.
    """
    image = program.tensors[program.input]
    pixels = pixels or image.quantization
    assert pixels is not None
    metadata = metadata_buffer(
        ModelInfo(
            facts.name,
            f"Image classifier, {_kind(program, facts)}.",
            author="edgenet",
            licence=facts.weights.licence,
        ),
        ImageTensor(image.name, mean=float(pixels.zero_points[0]), std=1 / pixels.scales[0]),
        program.tensors[program.output].name,
        LABELS_FILE if labels is not None else None,
    )
    files = {LABELS_FILE: labels_text(labels)} if labels is not None else {}
    text = json.dumps(as_dict(facts), sort_keys=True, indent=1, ensure_ascii=False)
    return write_tflite(program, metadata, {**files, FACTS_FILE: text.encode()})


def _kind(program: Program, facts: Facts) -> str:
    if facts.quantization is None:
        return program.precision()
    return f"int8, recipe {facts.quantization.recipe}"


INPUT_NAME = "image"
OUTPUT_NAME = "probability"


def _client_program(graph: Graph, quantized: QuantizedGraph | None) -> Program:
    builder = ProgramBuilder(graph.name)
    state = EmitState(graph, quantized, builder, {})
    shape = graph.shapes[graph.input]
    encoding = graph.require_pixels()
    pixels = Quantization((float(np.float32(encoding.scale)),), (encoding.zero_point,))
    image = builder.tensor(INPUT_NAME, shape, "uint8", pixels)
    if all(state.is_float(node) for node in graph.nodes if graph.input in node.inputs):
        builder.operator("DEQUANTIZE", 2, (image,), state.activation_tensor(graph.input, is_float=True))
    else:
        real = builder.operator("DEQUANTIZE", 2, (image,), builder.tensor("image/real", shape, "float32"))
        builder.operator("QUANTIZE", 1, (real,), state.activation_tensor(graph.input, is_float=False))
        state.converted[graph.input] = real
    emit_nodes(state)
    scores = state.tensor_as(graph.output, is_float=True, called="logits/real")
    return builder.program(image, _softmax(graph, builder, scores))


def _softmax(graph: Graph, builder: ProgramBuilder, scores: int) -> int:
    """Add the softmax, except when the network already ends in scores, from a sigmoid or its own softmax."""
    if ends_in_scores(graph):
        return builder.rename(scores, OUTPUT_NAME)
    output = builder.tensor(OUTPUT_NAME, graph.shapes[graph.output], "float32")
    return builder.operator("SOFTMAX", 1, (scores,), output, {"beta": 1.0})


def ends_in_scores(graph: Graph) -> bool:
    """Return whether the network gives scores, from a sigmoid or its own softmax, instead of logits."""
    producers = graph.producers()
    last = producers[graph.output]
    while isinstance(last.operator, Reshape) and last.inputs[0] in producers:
        last = producers[last.inputs[0]]
    return last.operator in (Unary("sigmoid"), Softmax())


def emit_nodes(state: EmitState) -> int:
    """Write all nodes and return the output's file tensor; the graph's input must already have one."""
    for node in state.graph.nodes:
        if node.operator == SCALED:
            emit_scaled_hard_swish(state, node)
        elif not emit_lone_relu(state, node):
            _emit(state, node)
    return state.native[state.graph.output]


ACTIVATIONS = {Activation.NONE: "NONE", Activation.RELU: "RELU", Activation.RELU6: "RELU6"}
UNARY = {
    "relu": "RELU",
    "relu6": "RELU6",
    "hard_swish": "HARD_SWISH",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "gelu": "GELU",
    "gelu_tanh": "GELU",
}
BINARY = {"add": "ADD", "sub": "SUB", "mul": "MUL"}


def _emit(state: EmitState, node: Node) -> None:
    operator, is_float = node.operator, state.is_float(node)
    if float_only(node):
        assert is_float, f"'{node.name}' has no int8 form"
        emit_float_only(state, node)
        return
    inputs = tuple(state.tensor_as(name, is_float) for name in node.inputs)
    version = 1 if is_float else 2
    constants: tuple[int, ...] = ()
    options: Mapping[str, object] = {}
    match operator:
        case Conv2D() | DepthwiseConv2D():
            kind = "CONV_2D" if isinstance(operator, Conv2D) else "DEPTHWISE_CONV_2D"
            constants, options = _weights(state, node, operator), _convolution_options(state, node)
            version = _convolution_version(operator, not is_float)
        case FullyConnected():
            kind, constants = "FULLY_CONNECTED", _weights(state, node, operator)
            keep = len(state.graph.shapes[node.output]) > 2
            version = 2 if is_float and keep else 1 if is_float else 5
            options = {"fusedActivationFunction": ACTIVATIONS[operator.activation], "keepNumDims": keep}
        case Binary():
            kind, options = (
                BINARY[operator.kind],
                {"fusedActivationFunction": ACTIVATIONS[operator.activation]},
            )
        case Mean():
            kind, options = "MEAN", {"keepDims": operator.keep_dims}
            constants = (state.builder.constant(f"{node.name}/axes", np.array([1, 2], np.int32)),)
        case Pool():
            kind = "MAX_POOL_2D" if operator.kind == "max" else "AVERAGE_POOL_2D"
            options = _pool_options(state, node, operator)
        case Pad():
            kind, constants = _pad(state, node, operator)
        case Concat():
            kind, options = "CONCATENATION", {"axis": operator.axis}
        case Reshape():
            kind, options, version = "RESHAPE", {"newShape": list(operator.shape)}, 1
            constants = (state.builder.constant(f"{node.name}/shape", np.array(operator.shape, np.int32)),)
        case Transpose():
            kind = "TRANSPOSE"
            order = np.array(operator.permutation, np.int32)
            constants = (state.builder.constant(f"{node.name}/permutation", order),)
        case Softmax():
            kind, options = "SOFTMAX", {"beta": 1.0}
        case Unary():
            kind = UNARY[operator.kind]
            version = 1 if kind == "HARD_SWISH" else version
            options = {"approximate": operator.kind == "gelu_tanh"} if kind == "GELU" else {}
        case LeakyRelu():
            kind, options = "LEAKY_RELU", {"alpha": operator.slope}
        case PRelu():
            kind, version, constants = "PRELU", 1, (_slopes(state, node, operator),)
        case Slice():
            kind, version, constants = _slice(state, node, operator)
        case Resize():
            kind, version, constants, options = _resize(state, node, operator)
        case _:
            raise TypeError(f"{type(operator).__name__} must be lowered before a file is written")
    output = state.activation_tensor(node.output, is_float)
    state.builder.operator(kind, version, (*inputs, *constants), output, options)


def _weights(state: EmitState, node: Node, operator: Weighted) -> tuple[int, int]:
    """Add the weight and bias of a weighted operator; return their indices."""
    build, quantized = state.builder, state.quantized
    if quantized is None or state.is_float(node):
        return (
            build.constant(f"{node.name}/weight", operator.weight),
            build.constant(f"{node.name}/bias", operator.bias),
        )
    weights = quantized.weights[node.name]
    source = np.float32(quantized.encodings[node.inputs[0]].scale)
    axis, zeros = output_axis(operator), (0,) * len(weights.scales)
    scales = tuple(float(s) for s in weights.scales)
    products = tuple(float(source * s) for s in weights.scales)
    return (
        build.constant(f"{node.name}/weight", weights.values, Quantization(scales, zeros, axis)),
        build.constant(f"{node.name}/bias", weights.bias, Quantization(products, zeros)),
    )


def _convolution_version(operator: Conv2D | DepthwiseConv2D, int8: bool) -> int:
    """Return the first operator version that has the features used: dilation, int8, or groups."""
    if isinstance(operator, Conv2D):
        return 6 if operator.groups > 1 else 3 if int8 else 1
    return 3 if int8 else 2 if operator.dilation != (1, 1) else 1


def _convolution_options(state: EmitState, node: Node) -> dict[str, object]:
    operator = node.operator
    assert isinstance(operator, Conv2D | DepthwiseConv2D)
    options = _window_options(state, node, operator)
    options |= {
        "dilationHFactor": operator.dilation[0],
        "dilationWFactor": operator.dilation[1],
        "fusedActivationFunction": ACTIVATIONS[operator.activation],
    }
    if isinstance(operator, DepthwiseConv2D):
        channels = state.graph.shapes[node.inputs[0]][3]
        options["depthMultiplier"] = operator.weight.shape[3] // channels
    return options


def _pool_options(state: EmitState, node: Node, operator: Pool) -> dict[str, object]:
    options = _window_options(state, node, operator)
    return options | {"filterHeight": operator.size[0], "filterWidth": operator.size[1]}


def _window_options(
    state: EmitState, node: Node, operator: Conv2D | DepthwiseConv2D | Pool
) -> dict[str, object]:
    _, height, width, _ = state.graph.shapes[node.inputs[0]]
    padding = file_padding(operator, (height, width))
    if padding is None:
        raise TypeError(f"the padding of '{node.name}' must be lowered before a file is written")
    return {"padding": padding, "strideH": operator.stride[0], "strideW": operator.stride[1]}


def _slopes(state: EmitState, node: Node, operator: PRelu) -> int:
    shape = (
        (1, 1, len(operator.slope)) if len(state.graph.shapes[node.output]) == 4 else (len(operator.slope),)
    )
    name = f"{node.name}/slopes"
    if state.is_float(node):
        return state.builder.constant(name, operator.slope.reshape(shape))
    values, scale = quantized_slopes(operator.slope)
    return state.builder.constant(name, values.reshape(shape), Quantization((scale,), (0,)))


def _slice(state: EmitState, node: Node, operator: Slice) -> tuple[str, int, tuple[int, ...]]:
    parts = {"begin": operator.begin}
    if set(operator.stride) == {1}:  # XNNPACK takes only this one
        kind, version = "SLICE", 1
        parts["size"] = state.graph.shapes[node.output]
    else:
        kind, version = "STRIDED_SLICE", 1
        parts |= {"end": operator.end, "strides": operator.stride}
    if not state.is_float(node):
        version = 2
    return (
        kind,
        version,
        tuple(
            state.builder.constant(f"{node.name}/{what}", np.array(values, np.int32))
            for what, values in parts.items()
        ),
    )


def _resize(
    state: EmitState, node: Node, operator: Resize
) -> tuple[str, int, tuple[int, ...], Mapping[str, object]]:
    kind = "RESIZE_BILINEAR" if operator.kind == "bilinear" else "RESIZE_NEAREST_NEIGHBOR"
    version = 3 if operator.align_corners or operator.half_pixel else 1 if state.is_float(node) else 2
    size = state.builder.constant(f"{node.name}/size", np.array(operator.size, np.int32))
    options = {"alignCorners": operator.align_corners, "halfPixelCenters": operator.half_pixel}
    return kind, version, (size,), options


def _pad(state: EmitState, node: Node, operator: Pad) -> tuple[str, tuple[int, ...]]:
    pads = operator.pads
    around = np.array([[0, 0], [pads.top, pads.bottom], [pads.left, pads.right], [0, 0]], np.int32)
    amounts = state.builder.constant(f"{node.name}/paddings", around)
    if operator.value == 0:
        return "PAD", (amounts,)
    if state.quantized is None or state.is_float(node):
        lowest = state.builder.constant(
            f"{node.name}/value", np.full(1, np.finfo(np.float32).min, np.float32)
        )
    else:
        quantization = file_quantization(state.quantized.encodings[node.inputs[0]])
        lowest = state.builder.constant(f"{node.name}/value", np.full(1, LOW, np.int8), quantization)
    return "PADV2", (amounts, lowest)
