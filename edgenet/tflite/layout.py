"""Lays out a file that every client takes: uint8 pixels in, float32 scores out, for int8 and float networks.

This input and output were chosen by measuring (MediaPipe, ML Kit and LiteRT.js refuse int8 inputs and
outputs; XNNPACK does not run a direct uint8-to-int8 QUANTIZE or an int8 SOFTMAX):

    image uint8 -> DEQUANTIZE -> QUANTIZE -> int8 network -> DEQUANTIZE -> SOFTMAX -> probability float32

If the first layer is float, as in every float file, there is no QUANTIZE before it; if the last layer is
float, there is no DEQUANTIZE before the SOFTMAX.
"""

from __future__ import annotations

import numpy as np

from edgenet.graph.ir import Graph
from edgenet.graph.operators import Reshape, Softmax, Unary
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.tflite.emit import Emission, emit_nodes
from edgenet.tflite.program import Program, ProgramBuilder, Quantization

INPUT_NAME = "image"
OUTPUT_NAME = "probability"


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
    state = Emission(quantized.graph, quantized, ProgramBuilder(quantized.graph.name), {})
    source = state.activation_tensor(quantized.graph.input, is_float=False)
    return state.builder.program(source, emit_nodes(state))


def _client_program(graph: Graph, quantized: QuantizedGraph | None) -> Program:
    builder = ProgramBuilder(graph.name)
    state = Emission(graph, quantized, builder, {})
    shape = graph.shapes[graph.input]
    encoding = graph.takes_pixels()
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
    if _ends_in_scores(graph):
        return builder.rename(scores, OUTPUT_NAME)
    output = builder.tensor(OUTPUT_NAME, graph.shapes[graph.output], "float32")
    return builder.operator("SOFTMAX", 1, (scores,), output, {"beta": 1.0})


def _ends_in_scores(graph: Graph) -> bool:
    producers = graph.producers()
    last = producers[graph.output]
    while isinstance(last.operator, Reshape) and last.inputs[0] in producers:
        last = producers[last.inputs[0]]
    return last.operator in (Unary("sigmoid"), Softmax())
