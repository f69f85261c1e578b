"""Brings a file's program into the plain form that the reader's rules know: constants computed, operators rewritten.

Each rewrite is exact. The other operators stay unchanged; the reader takes them or refuses them by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgenet.tflite.flatbuffer import READABLE
from edgenet.tflite.program import FileOperator, FileTensor, Program, ProgramBuilder


def plain_form(program: Program) -> Program:
    """Return the program with constants computed, its picture in NHWC and its float operators rewritten."""
    program = fold_constants(program)
    builder = ProgramBuilder(program.name)
    builder.tensors = list(program.tensors)
    source = _picture(builder, program.input)
    for operator in program.operators:
        rewrite = REWRITES.get(operator.kind)
        if rewrite is None or not _is_regular(builder, operator) or not rewrite(builder, operator):
            builder.operators.append(operator)
    return builder.program(source, program.output)


def takes_plain_pixels(program: Program) -> bool:
    """Return whether the input is uint8 without an encoding: the network casts it to float32 (0 to 255)."""
    source = program.tensors[program.input]
    return source.dtype == "uint8" and source.quantization is None


def _is_regular(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Return whether the operator gives float32 and has the inputs that the rewrites read."""
    needed = 1 if operator.kind in (*POOLINGS, "CAST") else 2
    given = operator.inputs[:needed]
    return (
        builder.tensors[operator.outputs[0]].dtype == "float32" and len(given) == needed and min(given) >= 0
    )


NHWC_TO_NCHW = (0, 3, 1, 2)


def _picture(builder: ProgramBuilder, index: int) -> int:
    """Return the input's tensor; for [1, 3, H, W], as in torch, a new NHWC input with a TRANSPOSE after it.

    An input of uint8 pixels without an encoding becomes float32 (see `takes_plain_pixels`).
    """
    tensor = builder.tensors[index]
    if tensor.dtype == "uint8" and tensor.quantization is None:
        builder.tensors[index] = replace(tensor, dtype="float32")
        return index
    if len(tensor.shape) != 4 or tensor.shape[1] != 3 or tensor.shape[3] == 3 or tensor.dtype != "float32":
        return index
    one, channels, height, width = tensor.shape
    in_nhwc = replace(tensor, shape=(one, height, width, channels), open_axes=())
    builder.tensors.append(in_nhwc)
    source = len(builder.tensors) - 1
    order = builder.constant(f"{tensor.name}/order", np.array(NHWC_TO_NCHW, np.int32))
    builder.operator("TRANSPOSE", 1, (source, order), index)
    return source


SEPARATED = {"RELU": "RELU", "RELU6": "RELU6"}
"""Fused activations that can become a separate operator."""


def _separate_activation(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Put a fused RELU or RELU6 after its pooling, concatenation or arithmetic with a constant."""
    activation = SEPARATED.get(str(operator.options.get("fusedActivationFunction")))
    constants = any(builder.tensors[i].data is not None for i in operator.inputs if i >= 0)
    if activation is None or (operator.kind in ("ADD", "SUB", "MUL") and not constants):
        return False
    output = operator.outputs[0]
    before = _between(builder, operator, "before_activation", _shape(builder, output))
    options = {**operator.options, "fusedActivationFunction": "NONE"}
    builder.operator(operator.kind, operator.version, operator.inputs, before, options)
    builder.operator(activation, 1, (before,), output)
    return True


def _divide_as_multiply(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Rewrite x / constant as x * (1 / constant)."""
    divisor = _constant(builder, operator, 1)
    if divisor is None or _constant(builder, operator, 0) is not None:
        return False
    with np.errstate(divide="ignore"):
        inverse = builder.constant(
            f"{builder.tensors[operator.inputs[1]].name}/inverse",
            np.float32(1) / np.asarray(divisor, np.float32),
        )
    product = replace(operator, kind="MUL", inputs=(operator.inputs[0], inverse))
    if not _separate_activation(builder, product):
        builder.operators.append(product)
    return True


def _cast(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Rewrite the cast of plain pixels as an idle DEQUANTIZE: in this form the pixels are float32 already."""
    if builder.tensors[operator.inputs[0]].dtype != "float32":
        return False
    builder.operators.append(replace(operator, kind="DEQUANTIZE"))
    return True


def _mean(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Rewrite the mean over a picture transposed to NCHW as the mean over the NHWC picture."""
    source = _reduced_picture(builder, operator)
    if source is None or source == operator.inputs[0]:
        return False
    return _reshape(builder, _means(builder, operator, source), operator.outputs[0])


def _sum(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Rewrite the sum over height and width as the mean times the number of pixels."""
    source = _reduced_picture(builder, operator)
    if source is None:
        return False
    one, height, width, channels = _shape(builder, source)
    name = f"{builder.tensors[operator.outputs[0]].name}/count"
    count = builder.constant(name, np.full(1, height * width, np.float32))
    total = _between(builder, operator, "sum", (one, channels))
    builder.operator("MUL", 1, (_means(builder, operator, source), count), total)
    return _reshape(builder, total, operator.outputs[0])


def _means(builder: ProgramBuilder, operator: FileOperator, source: int) -> int:
    one, _, _, channels = _shape(builder, source)
    axes = builder.constant(f"{builder.tensors[operator.outputs[0]].name}/axes", np.array([1, 2], np.int32))
    means = _between(builder, operator, "mean", (one, channels))
    return builder.operator("MEAN", 1, (source, axes), means, {"keepDims": False})


def _max_over_picture(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Rewrite the maximum over height and width as a max pooling with a window as large as the picture."""
    source = _reduced_picture(builder, operator)
    if source is None:
        return False
    one, height, width, channels = _shape(builder, source)
    window = {"filterHeight": height, "filterWidth": width, "strideH": 1, "strideW": 1, "padding": "VALID"}
    pooled = _between(builder, operator, "max", (one, 1, 1, channels))
    builder.operator("MAX_POOL_2D", 1, (source,), pooled, window)
    return _reshape(builder, pooled, operator.outputs[0])


def _reduced_picture(builder: ProgramBuilder, operator: FileOperator) -> int | None:
    """Return the NHWC picture whose height and width the operator reduces, or None if it does not.

    If a TRANSPOSE makes the operator's input, this is the picture before the TRANSPOSE.
    """
    source, axes = operator.inputs[0], _constant(builder, operator, 1)
    if axes is None or axes.dtype.kind != "i" or len(_shape(builder, source)) != 4:
        return None
    reduced = {int(axis) % 4 for axis in axes.reshape(-1)}
    maker = next((o for o in builder.operators if o.outputs[0] == source), None)
    if reduced != {1, 2} and maker is not None and maker.kind == "TRANSPOSE":
        order = _constant(builder, maker, 1)
        if order is not None and order.shape == (4,):
            source, reduced = maker.inputs[0], {int(order[axis]) for axis in reduced}
    return source if reduced == {1, 2} and len(_shape(builder, source)) == 4 else None


def _reshape(builder: ProgramBuilder, source: int, output: int) -> bool:
    builder.operator("RESHAPE", 1, (source,), output)
    return True


def _fully_connected(builder: ProgramBuilder, operator: FileOperator) -> bool:
    """Flatten a matrix's input to [1, inputs]: TFLite's FULLY_CONNECTED reads [n, inputs] from any shape."""
    weight, source = builder.tensors[operator.inputs[1]], operator.inputs[0]
    shape = _shape(builder, source)
    if len(weight.shape) != 2 or not weight.shape[1] or not shape or shape[-1] == weight.shape[1]:
        return False
    rows, rest = divmod(math.prod(shape), weight.shape[1])
    if rest or rows != 1:
        return False
    flat = _between(builder, operator, "flat", (1, weight.shape[1]))
    _reshape(builder, source, flat)
    builder.operators.append(replace(operator, inputs=(flat, *operator.inputs[1:])))
    return True


def _constant(builder: ProgramBuilder, operator: FileOperator, position: int) -> NDArray | None:
    index = operator.inputs[position] if position < len(operator.inputs) else -1
    return builder.tensors[index].data if index >= 0 else None


def _between(builder: ProgramBuilder, operator: FileOperator, what: str, shape: tuple[int, ...]) -> int:
    """Add a float32 tensor for a value between a rewritten operator's steps, named after its output."""
    return builder.tensor(f"{builder.tensors[operator.outputs[0]].name}/{what}", shape, "float32")


def _shape(builder: ProgramBuilder, index: int) -> tuple[int, ...]:
    return builder.tensors[index].shape


POOLINGS = ("MAX_POOL_2D", "AVERAGE_POOL_2D")
REWRITES: dict[str, Callable[[ProgramBuilder, FileOperator], bool]] = {
    **dict.fromkeys((*POOLINGS, "ADD", "SUB", "MUL", "CONCATENATION"), _separate_activation),
    "CAST": _cast,
    "DIV": _divide_as_multiply,
    "MEAN": _mean,
    "SUM": _sum,
    "REDUCE_MAX": _max_over_picture,
    "FULLY_CONNECTED": _fully_connected,
}
LARGEST_CONSTANT = 2**26
"""The most values in a folded constant: a damaged file must not fill the memory."""


def fold_constants(program: Program) -> Program:
    """Return the program without the operators that read only constants; their outputs become constants.

    A network with an open batch computes its own shapes, SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE; edgenet reads
    it for a batch of one, for which the file states every shape. Other files unpack or transpose their weights
    at run time.

    An operator that cannot be computed here stays; the reader then translates it or refuses it by name.
    """
    tensors, kept = list(program.tensors), []
    for operator in program.operators:
        value = _value(tensors, operator)
        if value is None:
            kept.append(operator)
        else:
            index = operator.outputs[0]
            tensors[index] = replace(tensors[index], data=value)
    return replace(program, tensors=tuple(tensors), operators=tuple(kept))


def _value(tensors: Sequence[FileTensor], operator: FileOperator) -> NDArray | None:
    """Return the operator's result in the shape and type that the file states, or None if it is not known."""
    compute, stated = COMPUTED.get(operator.kind), tensors[operator.outputs[0]]
    if compute is None or stated.quantization is not None or stated.dtype not in READABLE:
        return None
    if math.prod(stated.shape) > LARGEST_CONSTANT:
        return None
    values = _inputs(tensors, operator)
    if values is None:
        return None
    try:
        with np.errstate(all="ignore"):  # check_finite reports infinities with the layer's name
            value = np.asarray(compute(operator, values, stated)).astype(stated.dtype)
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return None
    return value if value.shape == stated.shape else None


def _inputs(tensors: Sequence[FileTensor], operator: FileOperator) -> list[NDArray] | None:
    inputs = [tensors[i] for i in operator.inputs if i >= 0]
    if operator.kind == "SHAPE":
        return [np.array(tensor.shape, np.int64) for tensor in inputs]
    values = [tensor.data for tensor in inputs if tensor.data is not None and tensor.quantization is None]
    return values if len(values) == len(inputs) > 0 else None


Compute = Callable[[FileOperator, list[NDArray], FileTensor], NDArray]


def _strided_slice(operator: FileOperator, values: list[NDArray], _: FileTensor) -> NDArray:
    options = {name: cast(int, value) for name, value in operator.options.items()}
    if options["ellipsisMask"] or options["newAxisMask"] or options["offset"]:
        raise ValueError("this kind of slice is not supported: no classifier needs it")
    picked: list[int | slice] = []
    for axis, (begin, end, step) in enumerate(zip(*values[1:], strict=True)):
        if options["shrinkAxisMask"] >> axis & 1:
            picked.append(int(begin))
            continue
        first = None if options["beginMask"] >> axis & 1 else int(begin)
        last = None if options["endMask"] >> axis & 1 else int(end)
        picked.append(slice(first, last, int(step)))
    return values[0][tuple(picked)]


def _without_activation(operator: FileOperator, result: NDArray) -> NDArray:
    if operator.options.get("fusedActivationFunction", "NONE") != "NONE":
        raise ValueError("a fused activation on a constant is not supported")
    return result


COMPUTED: dict[str, Compute] = {
    "SHAPE": lambda _, values, stated: values[0],
    "STRIDED_SLICE": _strided_slice,
    "PACK": lambda operator, values, _: np.stack(values, cast(int, operator.options["axis"])),
    "CONCATENATION": lambda operator, values, _: _without_activation(
        operator, np.concatenate(values, cast(int, operator.options["axis"]))
    ),
    "GATHER": lambda operator, values, _: np.take(values[0], values[1], cast(int, operator.options["axis"])),
    "REDUCE_PROD": lambda _, values, stated: np.prod(values[0], tuple(values[1].reshape(-1))).reshape(
        stated.shape
    ),
    **dict.fromkeys(
        ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), lambda _, values, stated: values[0].reshape(stated.shape)
    ),
    **dict.fromkeys(("CAST", "DEQUANTIZE"), lambda _, values, stated: values[0]),
    "TRANSPOSE": lambda _, values, stated: values[0].transpose(values[1]),
    "BROADCAST_TO": lambda _, values, stated: np.broadcast_to(values[0], stated.shape),
    "ADD": lambda operator, values, _: _without_activation(operator, values[0] + values[1]),
    "SUB": lambda operator, values, _: _without_activation(operator, values[0] - values[1]),
    "MUL": lambda operator, values, _: _without_activation(operator, values[0] * values[1]),
}
