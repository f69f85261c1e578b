"""Computes the operators of a file that read only constants.

A network with an open batch computes its own shapes, SHAPE -> STRIDED_SLICE -> PACK -> RESHAPE; edgenet reads
it for a batch of one, for which the file states every shape. Other files unpack or transpose their weights at
run time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from edgenet.tflite.flatbuffer import READABLE
from edgenet.tflite.program import FileOperator, FileTensor, Program

LARGEST_CONSTANT = 2**26
"""The most values in a folded constant: a damaged file must not fill the memory."""


def fold_constants(program: Program) -> Program:
    """Return the program without the operators whose result is known; their outputs become constants.

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


Compute = Callable[[FileOperator, list[NDArray], FileTensor], NDArray]

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
