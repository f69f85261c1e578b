"""A classifier of a few hundred bytes that every TFLite client can run: the mean colour decides the class.

It is written through the schema's own object API, independently of edgenet's writer.
"""

from __future__ import annotations

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgenet.tflite.metadata import METADATA_NAME

SCALE, ZERO_POINT = 1 / 127.5, 127  # of the uint8 input: 0..255 becomes about -1..1

_OPERATORS = {"DEQUANTIZE": 2, "MEAN": 1, "FULLY_CONNECTED": 1, "SOFTMAX": 1}  # with their versions


def tiny_model(
    classes: int = 3,
    size: int = 8,
    metadata: bytes | None = None,
    input_type: int = schema.TensorType.UINT8,
    signature: str = "serving_default",
) -> bytes:
    """Return a .tflite: `image` [1, size, size, 3] → dequantize → mean over the picture → linear → softmax.

    Class c reads only colour channel c % 3, so with 3 classes they are red, green and blue.
    """
    model = schema.ModelT()
    model.version = 3
    model.description = "a tiny test model"
    model.buffers = [schema.BufferT()]
    model.operatorCodes = [_operator_code(name, version) for name, version in _OPERATORS.items()]
    model.subgraphs = [_graph(model, classes, size, input_type)]
    model.signatureDefs = [_signature(model.subgraphs[0], signature)]
    if metadata is not None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, _buffer(model, metadata)
        model.metadata = [entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _graph(model: schema.ModelT, classes: int, size: int, input_type: int) -> schema.SubGraphT:
    weights = np.zeros((classes, 3), np.float32)
    weights[np.arange(classes), np.arange(classes) % 3] = 4.0
    float32, int32 = schema.TensorType.FLOAT32, schema.TensorType.INT32
    graph = schema.SubGraphT()
    graph.tensors = [
        _tensor("image", [1, size, size, 3], input_type, 0),
        _tensor("real", [1, size, size, 3], float32, 0),
        _tensor("axes", [2], int32, _buffer(model, np.array([1, 2], np.int32).tobytes())),
        _tensor("colour", [1, 3], float32, 0),
        _tensor("weights", [classes, 3], float32, _buffer(model, weights.tobytes())),
        _tensor("logits", [1, classes], float32, 0),
        _tensor("probability", [1, classes], float32, 0),
    ]
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [SCALE], [ZERO_POINT]
    if input_type != float32:
        graph.tensors[0].quantization = quantization
    softmax = schema.SoftmaxOptionsT()
    softmax.beta = 1.0
    options = schema.BuiltinOptions
    graph.operators = [
        _operator(0, [0], 1, options.DequantizeOptions, schema.DequantizeOptionsT()),
        _operator(1, [1, 2], 3, options.ReducerOptions, schema.ReducerOptionsT()),
        _operator(2, [3, 4, -1], 5, options.FullyConnectedOptions, schema.FullyConnectedOptionsT()),
        _operator(3, [5], 6, options.SoftmaxOptions, softmax),
    ]
    graph.inputs, graph.outputs = [0], [6]
    return graph


def _buffer(model: schema.ModelT, data: bytes) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _tensor(name: str, shape: list[int], dtype: int, buffer: int) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, dtype, buffer
    return tensor


def _operator_code(name: str, version: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    code.version = version
    return code


def _operator(code: int, inputs: list[int], output: int, kind: int, options: object) -> schema.OperatorT:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = kind, options
    return operator


def _signature(graph: schema.SubGraphT, key: str) -> schema.SignatureDefT:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = key, 0
    signature.inputs = [_port(graph, graph.inputs[0])]
    signature.outputs = [_port(graph, graph.outputs[0])]
    return signature


def _port(graph: schema.SubGraphT, tensor: int) -> schema.TensorMapT:
    port = schema.TensorMapT()
    port.name, port.tensorIndex = graph.tensors[tensor].name, tensor
    return port
