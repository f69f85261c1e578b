"""A finished file without its last softmax, so that a runtime gives its logits."""

from __future__ import annotations

import struct

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from edgenet.tflite.flatbuffer import IDENTIFIER


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
