"""The logits of a finished file: the file without its last softmax, and the highest logit that it can hold."""

from __future__ import annotations

import struct

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgenet.tflite.flatbuffer import IDENTIFIER
from edgenet.tflite.program import Program


def without_softmax(tflite: bytes) -> bytes:
    """Return the file without the softmax that gives its output, with the softmax's input as the output.

    The other operators stay as they are. A file that ends in something else is returned unchanged, and so is one that
    keeps its weights behind the flatbuffer, or is damaged in a part that running it does not need.

    Args:
        tflite: a .tflite that `edgenet_device.model_file.verified` has accepted.
    """
    try:
        return _rewritten(tflite)
    except (
        struct.error,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
    ):  # the generated code checks nothing
        return tflite


def highest_logit_of(program: Program) -> float | None:
    """Return the highest value that the input of a file's last softmax can have; None if it is not made from int8."""
    softmax = next((one for one in program.operators if program.output in one.outputs), None)
    if softmax is None or softmax.kind != "SOFTMAX":
        return None
    logits = softmax.inputs[0]
    maker = next((one for one in program.operators if logits in one.outputs), None)
    if maker is not None and maker.kind == "DEQUANTIZE":
        logits = maker.inputs[0]
    tensor = program.tensors[logits]
    if tensor.quantization is None or tensor.dtype not in ("int8", "uint8"):
        return None
    return (np.iinfo(tensor.dtype).max - tensor.quantization.zero_points[0]) * tensor.quantization.scales[0]


def _rewritten(tflite: bytes) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
    graph = model.subgraphs[0]
    last = next((one for one in graph.operators if graph.outputs[0] in one.outputs), None)
    if last is None or any(buffer.offset for buffer in model.buffers):
        return tflite
    code = model.operatorCodes[last.opcodeIndex]
    if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.SOFTMAX:
        return tflite
    graph.outputs = [last.inputs[0]]
    graph.operators = [one for one in graph.operators if one is not last]
    model.signatureDefs = []
    builder = flatbuffers.Builder(len(tflite))
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
