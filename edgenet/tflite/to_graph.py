"""Turns a file's operators back into a graph: the inverse of `from_graph`, for files of edgenet and of other tools.

Float files become float graphs; int8 and mixed files become quantized graphs.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.graph.ir import (
    WEIGHTED,
    Affine,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Graph,
    Node,
    PixelEncoding,
    Reshape,
    drop_unused,
)
from edgenet.graph.shapes import LARGEST_SIDE, GraphBuilder
from edgenet.graph.xnnpack_forms import SCALED
from edgenet.quantize.quantized_graph import (
    HIGH,
    LOW,
    SMALLEST_SCALE,
    Encoding,
    QuantizedGraph,
    QuantizedWeights,
)
from edgenet.tflite.operator_rules import RULES, ReadState, inputs_of, remedy_for
from edgenet.tflite.operator_steps import PAIR, join_steps
from edgenet.tflite.plain_form import REWRITES, fold_constants, plain_form
from edgenet.tflite.program import FileOperator, FileTensor, Program


def float_graph(program: Program) -> Graph:
    """Return the graph of a float file; it takes pixels if the file does (uint8), else normalized numbers.

    Raises:
        EdgenetError: the file is quantized, has an operator that is not supported, or is not an image
            classifier.
    """
    _check_float(program)
    program = plain_form(program)
    reading = _read(program)
    scores = _as_vector(reading.builder, reading.tensors[program.output])
    return _check_scores(reading.builder.graph(scores, _pixels(program.tensors[program.input])))


def _check_float(program: Program) -> None:
    """Refuse a file that is quantized already; the error says how.

    Raises:
        EdgenetError: the file has 8 or 16 bit activations, or 8, 4 or 2 bit weights.
    """
    kind = _quantized_kind(program)
    if kind is not None:
        raise EdgenetError(
            f"the .tflite is quantized already: {kind}",
            "give the float file it was made from, or use this one as it is: `edgenet package` takes it",
        )


def _quantized_kind(program: Program) -> str | None:
    tensors = program.tensors
    computed = {tensors[i].dtype for operator in program.operators for i in operator.outputs}
    if "int16" in computed:
        return "it has 16 bit activations and integer weights"
    if "int8" in computed:
        return "it has int8 weights and activations"
    if "uint8" in computed:
        return "it has uint8 weights and activations, TensorFlow 1's older scheme"
    weights = {
        tensors[i].dtype
        for operator in program.operators
        for i in operator.inputs
        if i >= 0 and i != program.input and tensors[i].quantization is not None
    }
    few_bits = weights & {"int8", "uint8", "int4", "uint4", "int2"}
    if few_bits:
        return f"its weights are {' and '.join(sorted(few_bits))}, its activations float (dynamic range)"
    return None


def _pixels(source: FileTensor) -> PixelEncoding | None:
    """Return the pixel encoding of the file's input, or None if it takes normalized numbers."""
    if source.dtype == "float32":
        return None
    encoding = _encoding(source)
    if encoding is None:
        raise EdgenetError(
            f"the .tflite takes {source.dtype}", "edgenet reads float32, uint8 and int8 pictures"
        )
    return PixelEncoding(encoding.scale, encoding.zero_point + 128)


def _as_vector(builder: GraphBuilder, scores: str) -> str:
    """Reshape scores such as [1, 1, 1, N] to [1, N]."""
    shape = builder.shapes[scores]
    if len(shape) == 2 or not shape or math.prod(shape) != max(shape):
        return scores
    return builder.add(Reshape((1, max(shape))), [scores], scores)


def quantized_graph(program: Program) -> QuantizedGraph:
    """Return the quantized graph, up to the logits, of a file that is int8, wholly or in part.

    The graph's input has the encoding that the network computes with: if the file takes real numbers, or
    pixels in another encoding, that is the encoding after the QUANTIZE that turns them into int8.

    Raises:
        EdgenetError: the file is float, has an operator that is not supported, or mixes types in a way that
            the integer execution cannot reproduce.
    """
    program = join_steps(fold_constants(program))
    reading = _read(program)
    if not reading.integers:
        raise EdgenetError("the .tflite is not int8", "give a file with int8 weights")
    source = program.tensors[program.input]
    if source.name not in reading.encodings:
        raise EdgenetError(
            f"the .tflite takes {source.dtype}", "give an int8 file that takes uint8 or int8 pixels"
        )
    graph = drop_unused(_check_scores(reading.builder.graph(_logits(reading))))
    encoding = reading.encodings[graph.input]
    graph = replace(graph, pixels=PixelEncoding(encoding.scale, encoding.zero_point + 128))
    _check_computable(reading, graph)
    encodings = {name: e for name, e in reading.encodings.items() if name in graph.shapes}
    names = {node.name for node in graph.nodes}
    weights = {name: w for name, w in reading.integers.items() if name in names}
    return QuantizedGraph(graph, encodings, weights, frozenset(names & reading.float_nodes))


def _check_scores(graph: Graph) -> Graph:
    shape = graph.shapes[graph.output]
    if len(shape) != 2 or shape[0] != 1:
        raise EdgenetError(f"the .tflite gives {list(shape)}", "edgenet reads classifiers: [1, classes]")
    return graph


def _logits(reading: ReadState) -> str:
    """Return the input of a final float SOFTMAX if there is one, else the output."""
    program = reading.program
    softmax = next(
        (
            operator
            for operator in program.operators
            if operator.outputs[0] == program.output and operator.kind == "SOFTMAX"
        ),
        None,
    )
    if softmax is not None and program.tensors[program.output].dtype == "float32":
        return reading.tensors[softmax.inputs[0]]
    return reading.tensors[program.output]


def _check_computable(reading: ReadState, graph: Graph) -> None:
    """Refuse a graph that the integer execution would not compute exactly as the file does."""
    if reading.requantized:
        raise EdgenetError(
            f"the .tflite changes the encoding of '{reading.requantized[0]}' between two operators",
            "convert it again with edgenet",
        )
    for node in graph.nodes:
        _check_node(reading, node)


def _check_node(reading: ReadState, node: Node) -> None:
    weighted, is_float = isinstance(node.operator, WEIGHTED), node.name in reading.float_nodes
    wrong = ""
    if is_float and node.name in reading.integers:
        wrong = f"computes '{node.name}' in float with int8 weights"
    elif not is_float and (
        isinstance(node.operator, Affine) or (weighted and node.name not in reading.integers)
    ):
        wrong = f"has constants at '{node.name}' that are not int8 weights"
    elif node.name in reading.mixed_type_nodes:
        wrong = f"mixes float and int8 at '{node.name}' without QUANTIZE or DEQUANTIZE"
    elif not is_float and node.output not in reading.encodings:
        wrong = f"is quantized at '{node.name}', but not to int8"
    if wrong:
        raise EdgenetError(f"the .tflite {wrong}", "convert it again with edgenet")


def _read(program: Program) -> ReadState:
    source = program.tensors[program.input]
    _check_picture(source)
    reading = ReadState(program, GraphBuilder(program.name or "network", source.name, source.shape))
    reading.tensors[program.input] = source.name
    _note_encoding(reading, program.input, source.name)
    try:
        reading.constants |= {
            i: _dequantized(tensor) for i, tensor in enumerate(program.tensors) if tensor.data is not None
        }
    except (ValueError, IndexError) as error:
        raise EdgenetError(f"a constant of the .tflite is damaged ({error})", "convert it again") from None
    if program.output not in (output for operator in program.operators for output in operator.outputs):
        raise EdgenetError("no operator of the .tflite makes its output", "convert it again")
    for operator in program.operators:
        try:
            _read_operator(reading, operator)
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:
            # a malformed operator can make its rule raise any of these
            raise reading.refusal(operator, f"it is damaged ({error})", "convert it again") from None
    return reading


def _check_picture(source: FileTensor) -> None:
    """Refuse any input except one RGB picture of a known size; an open batch is read as one photo."""
    if set(source.open_axes) - {0}:
        shape = ", ".join("?" if axis in source.open_axes else str(n) for axis, n in enumerate(source.shape))
        raise EdgenetError(
            f"the .tflite leaves the size of its picture open: [{shape}]",
            "convert it with a fixed height and width",
        )
    if len(source.shape) != 4 or source.shape[0] != 1 or source.shape[3] != 3 or not all(source.shape):
        raise EdgenetError(
            f"the .tflite takes {list(source.shape)}, edgenet reads image classifiers",
            "it should take [1, H, W, 3] or [1, 3, H, W]",
        )
    if max(source.shape) > LARGEST_SIDE:
        raise EdgenetError(
            f"the .tflite takes {list(source.shape)}",
            f"edgenet reads pictures of up to {LARGEST_SIDE} pixels a side",
        )


def _dequantized(tensor: FileTensor) -> NDArray:
    """Return a constant's real numbers: quantized ones are dequantized, index tensors stay integers."""
    assert tensor.data is not None
    if tensor.quantization is None:
        return tensor.data.astype(np.float32) if tensor.dtype == "float16" else tensor.data
    quantization = tensor.quantization
    shape = [1] * tensor.data.ndim
    if len(quantization.scales) > 1:
        shape[quantization.axis] = -1
    scales = np.array(quantization.scales, np.float32).reshape(shape)
    zeros = np.array(quantization.zero_points, np.float32).reshape(shape)
    with np.errstate(over="ignore"):  # check_finite reports infinities with the layer's name
        return ((tensor.data.astype(np.float32) - zeros) * scales).astype(np.float32)


def _note_encoding(reading: ReadState, index: int, name: str) -> None:
    encoding = _encoding(reading.program.tensors[index])
    if encoding is not None:
        reading.encodings[name] = encoding


LARGEST_SCALE = 1e9
"""The largest valid scale: quotients of larger ones would overflow float32; no network has such values."""


def _encoding(tensor: FileTensor) -> Encoding | None:
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
        return None
    offset = -128 if tensor.dtype == "uint8" else 0
    scale, zero_point = tensor.quantization.scales[0], tensor.quantization.zero_points[0] + offset
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE or not LOW <= zero_point <= HIGH:
        raise EdgenetError(
            f"the .tflite gives '{tensor.name}' the scale {scale:g} and the zero point {zero_point - offset}",
            "convert it again",
        )
    return Encoding(scale, zero_point)


CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


def _read_operator(reading: ReadState, operator: FileOperator) -> None:
    output = operator.outputs[0]
    if all(i < 0 or i in reading.constants for i in operator.inputs) and operator.kind in CONVERSIONS:
        reading.constants[output] = np.asarray(reading.constants[operator.inputs[0]], np.float32)
        return
    if operator.kind in CONVERSIONS:
        _read_conversion(reading, operator)
        return
    rule = (lambda *_: SCALED) if operator.kind == PAIR else RULES.get(operator.kind)
    if rule is None:
        remedy = remedy_for(operator.kind, (*RULES, *REWRITES))
        raise reading.refusal(operator, "this operator is not supported", remedy)
    made = rule(reading, operator)
    inputs = inputs_of(reading, operator)
    name = reading.builder.add(made, inputs, reading.program.tensors[output].name)
    _note_types(reading, operator, name)
    _note_encoding(reading, output, name)
    reading.tensors[output] = _in_stated_shape(reading, operator, name)
    if isinstance(made, Conv2D | DepthwiseConv2D | FullyConnected):
        _note_integers(reading, operator, made, name)


def _note_types(reading: ReadState, operator: FileOperator, name: str) -> None:
    tensors = reading.program.tensors
    given = tensors[operator.outputs[0]].dtype
    if given == "float32":
        reading.float_nodes.add(name)
    if any(tensors[i].dtype != given for i in operator.inputs if i in reading.tensors):
        reading.mixed_type_nodes.add(name)


def _read_conversion(reading: ReadState, operator: FileOperator) -> None:
    """Map the output of QUANTIZE or DEQUANTIZE to its input's graph tensor; note a changed encoding."""
    source, output = operator.inputs[0], operator.outputs[0]
    name = reading.tensors[output] = reading.tensors[source]
    stated = _encoding(reading.program.tensors[output])
    if name == reading.builder.input and not reading.builder.nodes and stated is not None:
        reading.encodings[name] = stated  # the input picture, before the first node
        return
    other_encoding = stated is not None and reading.encodings.setdefault(name, stated) != stated
    rounded = name in reading.float_nodes and reading.program.tensors[source].dtype != "float32"
    if other_encoding or rounded:
        reading.requantized.append(reading.program.tensors[output].name)


def _in_stated_shape(reading: ReadState, operator: FileOperator, name: str) -> str:
    """Reshape a node's result to the file's shape: FULLY_CONNECTED may drop the picture's axes of size 1."""
    stated, made = reading.program.tensors[operator.outputs[0]].shape, reading.builder.shapes[name]
    if stated == made:
        return name
    if operator.kind != "FULLY_CONNECTED" or math.prod(stated) != math.prod(made):
        raise reading.refusal(operator, f"its output should be {list(made)} but the file says {list(stated)}")
    flat = reading.builder.add(Reshape(stated), [name], name)
    if name in reading.float_nodes:
        reading.float_nodes.add(flat)
    _note_encoding(reading, operator.outputs[0], flat)
    return flat


def _note_integers(
    reading: ReadState, operator: FileOperator, made: Conv2D | DepthwiseConv2D | FullyConnected, name: str
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
