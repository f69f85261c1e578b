"""Other forms of a finished file: smaller weights, other types at its two ends, and its logits instead of scores.

`edgenet convert` writes files that take uint8 pixels and give float32 probabilities, which every client takes. Some
runtimes want something else; the network between the two ends stays the same. Checks compare the logits: the file
without its last softmax, and the highest logit that it can hold.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgenet.errors import EdgenetError
from edgenet.tflite.flatbuffer import IDENTIFIER
from edgenet.tflite.program import FileOperator, FileTensor, Program, Quantization

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
DYNAMIC = {"CONV_2D": 5, "FULLY_CONNECTED": 12}
"""The operators whose weights a dynamic file holds as int8, and the first version that takes float32 values with int8
weights of several scales. Depthwise convolutions stay in float: XNNPACK has no such kernel for them, so that they would
take ten times as long, and they hold few weights."""
DYNAMIC_LEAST = 1024
"""The fewest weights that are rounded, as in TensorFlow's converter: the first layers lose most and save least."""
IO_TYPES = ("uint8", "int8", "float32")
SCORES = {"int8": Quantization((1 / 256,), (-128,)), "uint8": Quantization((1 / 256,), (0,))}
"""The encodings of probabilities; LiteRT's int8 softmax has no other one."""


def float16_program(program: Program) -> Program:
    """Return a float program with its weights and biases as float16; the arithmetic stays float32.

    A DEQUANTIZE turns each constant back into float32, once when the file is loaded, as TensorFlow's converter does.

    Raises:
        EdgenetError: a weight is beyond float16's largest number, 65,504.
    """
    tensors, before = list(program.tensors), []
    for index in sorted(_constants(program, range(1, 3))):
        tensor = tensors[index]
        assert tensor.data is not None
        half = _half(tensor)
        tensors[index] = replace(tensor, data=None)
        tensors.append(FileTensor(f"{tensor.name}/float16", tensor.shape, "float16", None, half))
        before.append(FileOperator("DEQUANTIZE", 3, (len(tensors) - 1,), (index,)))
    return replace(program, tensors=tuple(tensors), operators=(*before, *program.operators))


def _half(tensor: FileTensor) -> NDArray[np.float16]:
    assert tensor.data is not None
    if np.abs(tensor.data).max(initial=0) > float(np.finfo(np.float16).max):
        raise EdgenetError(
            f"the weights '{tensor.name}' reach {np.abs(tensor.data).max():.0f}, beyond float16's largest number 65504",
            "convert with --precision float32 or int8",
        )
    return tensor.data.astype(np.float16)


def dynamic_program(program: Program) -> Program:
    """Return a float program with int8 weights, one scale per output channel ("dynamic range").

    The runtime quantizes each layer's input as it goes, by the range that it finds there. So this needs no photos, but
    the range is looked for again in every frame. Depthwise convolutions and layers with few weights stay in float.

    Raises:
        EdgenetError: no layer has enough weights.
    """
    tensors, operators = list(program.tensors), []
    made: dict[int, int] = {}
    for operator in program.operators:
        weights = tensors[operator.inputs[1]].data if operator.kind in DYNAMIC else None
        if weights is not None and weights.size >= DYNAMIC_LEAST:
            index = operator.inputs[1]
            if index not in made:
                tensors.append(_int8_weights(tensors[index]))
                made[index] = len(tensors) - 1
            inputs = (operator.inputs[0], made[index], *operator.inputs[2:])
            operator = replace(operator, inputs=inputs, version=DYNAMIC[operator.kind])
        operators.append(operator)
    if not made:
        raise EdgenetError(
            f"no layer of the network has {DYNAMIC_LEAST:,} weights, so --precision dynamic would leave all in float",
            "convert with --precision float16 or int8",
        )
    return _pruned(replace(program, tensors=tuple(tensors), operators=tuple(operators)))


def _int8_weights(tensor: FileTensor) -> FileTensor:
    """Return weights whose first axis is that of the output channels as int8."""
    weight = np.asarray(tensor.data, np.float32)
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scales = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    values = np.clip(np.rint(weight / scales), -127, 127).astype(np.int8)
    encoding = Quantization(tuple(float(s) for s in scales.ravel()), (0,) * scales.size, 0)
    return FileTensor(f"{tensor.name}/int8", tensor.shape, "int8", encoding, values)


def with_io(program: Program, kind: str) -> Program:
    """Return a program with another type at its input and output.

    Args:
        program: what `float_program` or `int8_program` made, perhaps in the form of `float16_program` or
            `dynamic_program`.
        kind: "uint8" or "int8" for pixels and scores of this type (the Edge TPU's compiler and microcontrollers take
            int8), or "float32" for normalized pixels and float32 scores.
    """
    if kind not in IO_TYPES:
        raise EdgenetError(f"there is no --io {kind}", f"give {', '.join(IO_TYPES)}")
    program = _with_input(program, kind)
    return _pruned(program if kind == "float32" else _with_output(program, kind))


def _with_input(program: Program, kind: str) -> Program:
    source = program.tensors[program.input]
    if kind == "uint8":
        return program
    assert source.quantization is not None
    readers = [operator for operator in program.operators if program.input in operator.inputs]
    real = readers[0].outputs[0]
    assert [one.kind for one in readers] == ["DEQUANTIZE"]
    if kind == "float32":
        return _renamed(_without(program, readers[0]), real, source.name)
    encoding = Quantization(source.quantization.scales, (source.quantization.zero_points[0] - 128,))
    after = [operator for operator in program.operators if real in operator.inputs]
    if [one.kind for one in after] == ["QUANTIZE"] and program.tensors[
        after[0].outputs[0]
    ].quantization == encoding:
        whole = _without(_without(program, readers[0]), after[0])
        return _renamed(whole, after[0].outputs[0], source.name)
    tensors = list(program.tensors)
    tensors[program.input] = replace(source, dtype="int8", quantization=encoding)
    return replace(program, tensors=tuple(tensors))


def _with_output(program: Program, kind: str) -> Program:
    makers = {output: operator for operator in program.operators for output in operator.outputs}
    last = makers[program.output]
    name = program.tensors[program.output].name
    scores = program.tensors[program.output]
    if last.kind == "DEQUANTIZE" and kind == program.tensors[last.inputs[0]].dtype:  # a sigmoid in int8
        return replace(_without(program, last), output=last.inputs[0])
    before = makers.get(last.inputs[0])
    tensors = [*program.tensors, FileTensor(name, scores.shape, kind, SCORES[kind])]
    tensors[program.output] = replace(scores, name=f"{name}/real")
    new = len(tensors) - 1
    if kind == "int8" and last.kind == "SOFTMAX" and before is not None and before.kind == "DEQUANTIZE":
        softmax = replace(last, version=2, inputs=before.inputs, outputs=(new,))
        operators = [softmax if one is last else one for one in program.operators]
    else:
        operators = [*program.operators, FileOperator("QUANTIZE", 1, (program.output,), (new,))]
    return replace(program, tensors=tuple(tensors), operators=tuple(operators), output=new)


def _renamed(program: Program, source: int, name: str) -> Program:
    """Return the program with another input, which gets a name."""
    tensors = list(program.tensors)
    tensors[source] = replace(tensors[source], name=name)
    return replace(program, tensors=tuple(tensors), input=source)


def _without(program: Program, operator: FileOperator) -> Program:
    return replace(program, operators=tuple(one for one in program.operators if one is not operator))


def _constants(program: Program, positions: range) -> set[int]:
    """Return the constants that the weighted operators read at these positions."""
    return {
        index
        for operator in program.operators
        if operator.kind in WEIGHTED
        for index in operator.inputs[positions.start : positions.stop]
        if index >= 0 and program.tensors[index].data is not None
    }


def _pruned(program: Program) -> Program:
    """Return the program without operators and tensors that nothing leads to."""
    needed, operators = {program.output}, []
    for operator in reversed(program.operators):
        if needed & set(operator.outputs):
            needed |= {i for i in operator.inputs if i >= 0}
            operators.append(operator)
    needed.add(program.input)
    place = {old: new for new, old in enumerate(sorted(needed))}
    kept = tuple(
        replace(
            one,
            inputs=tuple(place.get(i, i) for i in one.inputs),
            outputs=tuple(place[i] for i in one.outputs),
        )
        for one in reversed(operators)
    )
    tensors = tuple(program.tensors[i] for i in sorted(needed))
    return Program(program.name, tensors, kept, place[program.input], place[program.output])


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
