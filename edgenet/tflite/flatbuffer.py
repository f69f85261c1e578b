"""Writes programs as the bytes of a .tflite file and reads them back, or refuses them with the reason."""

from __future__ import annotations

from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from edgenet_device.flatbuffer import check_tflite, check_values
from numpy.typing import NDArray

from edgenet.errors import EdgenetError, one_line
from edgenet.tflite.metadata import METADATA_NAME, append_files
from edgenet.tflite.program import FileOperator, FileTensor, Program, Quantization


def write_tflite(
    program: Program, metadata: bytes | None = None, files: dict[str, bytes] | None = None
) -> bytes:
    """Return the bytes of a .tflite file; equal programs give equal bytes.

    Args:
        program: the program to write.
        metadata: the TFLITE_METADATA flatbuffer, or None for none.
        files: associated files, by name, which are appended as a zip.
    """
    model = schema.ModelT()
    model.version = 3
    model.description = "edgenet"
    model.buffers = [AlignedBuffer()]  # buffer 0 stands for "no data"
    model.operatorCodes = []
    model.subgraphs = [_subgraph(program, model)]
    model.signatureDefs = [_signature(program)]
    if metadata is not None:
        entry = schema.MetadataT()
        entry.name, entry.buffer = METADATA_NAME, _buffer(model, np.frombuffer(metadata, np.uint8))
        model.metadata = [entry]
    # Room for everything from the start: a builder that grows holds its bytes twice, and then twice the room.
    builder = flatbuffers.Builder(
        (1 << 20) + sum(len(one.data) for one in model.buffers if one.data is not None)
    )
    builder.Finish(model.Pack(builder), IDENTIFIER)
    data = bytes(builder.Output())
    return append_files(data, files) if files else data


IDENTIFIER = b"TFL3"


def _subgraph(program: Program, model: schema.ModelT) -> schema.SubGraphT:
    graph = schema.SubGraphT()
    graph.name = program.name
    graph.tensors = [_tensor(tensor, model) for tensor in program.tensors]
    graph.operators = [_operator(operator, model) for operator in program.operators]
    graph.inputs, graph.outputs = [program.input], [program.output]
    return graph


DTYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int32": schema.TensorType.INT32,
    "float16": schema.TensorType.FLOAT16,
}


def _tensor(tensor: FileTensor, model: schema.ModelT) -> schema.TensorT:
    packed = schema.TensorT()
    packed.name = tensor.name
    packed.shape = list(tensor.shape)
    packed.type = DTYPES[tensor.dtype]
    packed.hasRank = True
    packed.buffer = 0 if tensor.data is None else _buffer(model, tensor.data)
    if tensor.quantization:
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.array(tensor.quantization.scales, np.float32)
        quantization.zeroPoint = np.array(tensor.quantization.zero_points, np.int64)
        quantization.quantizedDimension = tensor.quantization.axis
        packed.quantization = quantization
    return packed


def _buffer(model: schema.ModelT, data: NDArray) -> int:
    buffer = AlignedBuffer()
    buffer.data = data.reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


ALIGNMENT = 16


class AlignedBuffer(schema.BufferT):
    """A buffer whose data starts at a multiple of 16: Python's writer ignores the schema's `force_align`."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 (the generated code's name)
        """Write the buffer; return its offset."""
        if self.data is None:
            return super().Pack(builder)
        data = np.ascontiguousarray(self.data)
        builder.StartVector(1, len(data), ALIGNMENT)
        builder.head -= len(data)
        builder.Bytes[builder.Head() : builder.Head() + len(data)] = data.tobytes()
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def _operator(operator: FileOperator, model: schema.ModelT) -> schema.OperatorT:
    packed = schema.OperatorT()
    packed.opcodeIndex = _operator_code(operator, model)
    packed.inputs, packed.outputs = list(operator.inputs), list(operator.outputs)
    kind = _options_name(operator.kind)
    if kind:
        options = getattr(schema, f"{kind}T")()
        for field, value in operator.options.items():
            enumeration = ENUMERATIONS.get(field)
            setattr(options, field, getattr(enumeration, str(value)) if enumeration else value)
        packed.builtinOptions = options
        packed.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
    return packed


ENUMERATIONS = {"padding": schema.Padding, "fusedActivationFunction": schema.ActivationFunctionType}


def _options_name(kind: str) -> str | None:
    """Return the name of an operator's options table, such as Conv2DOptions for CONV_2D, or None."""
    special = {
        "AVERAGE_POOL_2D": "Pool2DOptions",
        "MAX_POOL_2D": "Pool2DOptions",
        "MEAN": "ReducerOptions",
        "SUM": "ReducerOptions",
        "BATCH_MATMUL": "BatchMatMulOptions",
    }
    plain = "".join(part.capitalize() for part in kind.split("_")).replace("2d", "2D") + "Options"
    name = special.get(kind, plain.replace("Padv2", "PadV2"))
    return name if hasattr(schema, f"{name}T") else None


def _operator_code(operator: FileOperator, model: schema.ModelT) -> int:
    code = getattr(schema.BuiltinOperator, operator.kind)
    for index, known in enumerate(model.operatorCodes):
        if (known.builtinCode, known.version) == (code, operator.version):
            return index
    entry = schema.OperatorCodeT()
    entry.builtinCode, entry.version = code, operator.version
    entry.deprecatedBuiltinCode = min(code, schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
    model.operatorCodes.append(entry)
    return len(model.operatorCodes) - 1


SIGNATURE = "serving_default"


def _signature(program: Program) -> schema.SignatureDefT:
    signature = schema.SignatureDefT()
    signature.signatureKey = SIGNATURE
    signature.inputs = [_named(program, program.input)]
    signature.outputs = [_named(program, program.output)]
    return signature


def _named(program: Program, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = program.tensors[index].name, index
    return entry


def read_tflite(data: bytes, where: str) -> Program:
    """Read the program of a .tflite file, with any operators and tensor types.

    Args:
        data: the bytes of the file.
        where: how error messages call the file.

    Raises:
        EdgenetError: the bytes are not a .tflite file or are damaged; or the file has more than one subgraph,
            input or output, control flow, variables, or sparse weights.
    """
    if data[4:8] != IDENTIFIER:
        raise _not_a_model(data, where)
    check_tflite(data, where)
    check_values(data, where)
    try:
        return _program(schema.Model.GetRootAs(data, 0), where)
    except EdgenetError:
        raise
    except Exception:  # for a damaged flatbuffer the generated code raises nearly any type
        raise EdgenetError(f"{where} is a damaged .tflite file", "copy or convert it again") from None


def _not_a_model(data: bytes, where: str) -> EdgenetError:
    """Return the error for data that does not begin as a .tflite file does."""
    if not data:
        return EdgenetError(f"{where} is empty (0 bytes)", "copy or convert it again")
    if data.startswith(b"PK"):
        return EdgenetError(
            f"{where} is a zip archive, perhaps a bundle of edgenet", "give the .tflite file itself"
        )
    return EdgenetError(f"{where} is not a .tflite file (no TFL3 at byte 4)", "give a .tflite model")


def _program(model: schema.Model, where: str) -> Program:
    _check_subgraphs(model, where)
    graph = model.Subgraphs(0)
    inputs, outputs = _integers(graph.InputsAsNumpy()), _integers(graph.OutputsAsNumpy())
    tensors = tuple(_file_tensor(graph.Tensors(i), model) for i in range(graph.TensorsLength()))
    operators = tuple(_file_operator(graph.Operators(i), model) for i in range(graph.OperatorsLength()))
    _check_control_flow(tensors, operators, where)
    _check_inputs_outputs(tensors, inputs, outputs, where)
    _check_indices(tensors, operators, (*inputs, *outputs))
    return Program(_text(graph.Name()), tensors, operators, inputs[0], outputs[0])


def _check_indices(
    tensors: Sequence[FileTensor], operators: Sequence[FileOperator], ports: Sequence[int]
) -> None:
    """Refuse operators on missing tensors, without outputs, or that write a tensor twice or over a constant.

    Raises:
        IndexError, ValueError: the file is damaged; no writer makes such operators.
    """
    made = [*ports, *(i for operator in operators for i in operator.outputs)]
    read = [i for operator in operators for i in operator.inputs]  # -1 stands for an absent input
    if min(made) < 0 or min(read, default=0) < -1 or max(made + read) >= len(tensors):
        raise IndexError("an operator reads or writes a tensor that does not exist")
    if not operators or not all(operator.outputs for operator in operators):
        raise ValueError("there is no operator, or one has no output")
    if len(set(made[1:])) < len(made) - 2 or any(tensors[i].data is not None for i in made):
        raise ValueError("an operator writes a tensor that already has a value")


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


TENSOR_TYPES = _names(schema.TensorType)
OPERATOR_NAMES = _names(schema.BuiltinOperator)
READABLE = (*DTYPES, "float64", "int16", "int64", "bool")
"""The types of constants that edgenet reads: those that it writes, and more that other tools write."""


def _file_tensor(tensor: schema.Tensor, model: schema.Model) -> FileTensor:
    shape = _integers(tensor.ShapeAsNumpy())
    if min(shape, default=0) < 0:
        raise ValueError("a tensor has a negative size")
    open_axes = tuple(axis for axis, n in enumerate(_integers(tensor.ShapeSignatureAsNumpy())) if n < 0)
    dtype = TENSOR_TYPES.get(tensor.Type(), str(tensor.Type())).lower()
    raw = _contents(model, tensor.Buffer())
    name = _text(tensor.Name())
    if raw.size and tensor.Sparsity() is not None:
        raise _sparse(name)
    data = raw.view(dtype).reshape(shape) if raw.size and dtype in READABLE else None
    return FileTensor(name, shape, dtype, _quantization(tensor.Quantization()), data, open_axes)


def _sparse(name: str) -> EdgenetError:
    """Return the error for pruned weights that are stored without their zeros."""
    return EdgenetError(
        f"the weights '{name}' are stored as sparse", "convert the network with dense weights"
    )


def _contents(model: schema.Model, index: int) -> NDArray[np.uint8]:
    """Return a buffer's bytes: inside the flatbuffer or, where ai-edge-quantizer puts weights, after it."""
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:
        end = buffer.Offset() + buffer.Size()
        if end > len(model._tab.Bytes):
            raise IndexError("a buffer reaches past the end of the file")
        return np.frombuffer(model._tab.Bytes, np.uint8)[buffer.Offset() : end]
    inside = buffer.DataAsNumpy()
    return inside if isinstance(inside, np.ndarray) else np.zeros(0, np.uint8)


def _quantization(given: schema.QuantizationParameters | None) -> Quantization | None:
    if given is None or given.ScaleLength() == 0:
        return None
    scales = tuple(float(s) for s in given.ScaleAsNumpy())
    zeros = _integers(given.ZeroPointAsNumpy()) or (0,) * len(scales)
    if len(zeros) != len(scales) or not np.isfinite(scales).all():
        raise ValueError("a tensor's scales and zero points do not match, or a scale is not finite")
    return Quantization(scales, zeros, given.QuantizedDimension())


def _file_operator(operator: schema.Operator, model: schema.Model) -> FileOperator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = OPERATOR_NAMES.get(number, str(number))
    if kind == "CUSTOM":
        kind = f"CUSTOM '{_text(code.CustomCode())}'"
    options = schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), operator.BuiltinOptions())
    return FileOperator(
        kind,
        code.Version(),
        _integers(operator.InputsAsNumpy()),
        _integers(operator.OutputsAsNumpy()),
        {} if options is None else _readable(vars(options)),
    )


def _readable(fields: dict[str, object]) -> dict[str, object]:
    """Return the options with enumeration values replaced by their names."""
    return {
        name: _names(ENUMERATIONS[name]).get(int(str(value)), value) if name in ENUMERATIONS else value
        for name, value in fields.items()
    }


def _integers(vector: NDArray | int) -> tuple[int, ...]:
    """Return a vector as a tuple; the generated code gives 0 for an absent vector."""
    return () if isinstance(vector, int) else tuple(int(n) for n in vector)


LONGEST_NAME = 500


def _text(value: bytes | None) -> str:
    return one_line((value or b"").decode(errors="replace"), LONGEST_NAME)


def _check_subgraphs(model: schema.Model, where: str) -> None:
    """Refuse a file with several subgraphs: networks of several signatures, or branches of control flow."""
    if model.SubgraphsLength() == 1:
        return
    keys = [model.SignatureDefs(i).SignatureKey() for i in range(model.SignatureDefsLength())]
    names = one_line(", ".join((key or b"").decode(errors="replace") for key in keys))
    signatures = f" (signatures: {names})" if names else ""
    raise EdgenetError(
        f"{where} has {model.SubgraphsLength()} subgraphs{signatures}",
        "edgenet reads files with one subgraph and no control flow; convert a single signature",
    )


CONTROL_FLOW = (
    *("IF", "WHILE", "CALL", "CALL_ONCE"),
    *("STABLEHLO_WHILE", "STABLEHLO_CASE", "STABLEHLO_COMPOSITE"),
)
VARIABLES = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


def _check_control_flow(tensors: Sequence[FileTensor], operators: Sequence[FileOperator], where: str) -> None:
    """Refuse conditions, loops, calls and variables; the error names the operator and its output."""
    for operator in operators:
        at = (
            f"{operator.kind} at '{tensors[operator.outputs[0]].name}'" if operator.outputs else operator.kind
        )
        if operator.kind in CONTROL_FLOW:
            raise EdgenetError(
                f"{where} has control flow: {at}",
                "edgenet reads plain classifiers; convert the network for inference, without loops or conditions",
            )
        if operator.kind in VARIABLES:
            raise EdgenetError(
                f"{where} keeps its weights in variables: {at}",
                "convert it with frozen weights, as TFLiteConverter.from_keras_model does",
            )


def _check_inputs_outputs(
    tensors: Sequence[FileTensor], inputs: Sequence[int], outputs: Sequence[int], where: str
) -> None:
    """Refuse a file without exactly one input and one output; the error names them all."""
    if len(inputs) == len(outputs) == 1:
        return
    ports = (_ports("input", inputs, tensors), _ports("output", outputs, tensors))
    raise EdgenetError(
        f"{where} has {' and '.join(ports)}",
        "edgenet reads classifiers with one of each: one picture in, one vector of scores out",
    )


def _ports(kind: str, indices: Sequence[int], tensors: Sequence[FileTensor]) -> str:
    names = ", ".join(f"{tensors[i].name} {list(tensors[i].shape)}" for i in indices)
    return f"{len(indices)} {kind}{'s' * (len(indices) != 1)} ({names})"
