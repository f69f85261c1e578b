"""A .tflite file's contents as plain Python values, the step between graph and flatbuffer both ways; and its cost.

The cost is counted from the tensors alone, so also for files that the graph's readers do not take.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgenet.graph.shapes import Cost


@dataclass(frozen=True)
class Quantization:
    """The encoding real = scale * (q - zero_point).

    Attributes:
        scales: one scale for the whole tensor, or one per index along `axis` (per-channel).
        zero_points: as many as `scales`.
        axis: the axis of several scales.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor of the file.

    Attributes:
        dtype: the schema's type name in lower case, such as float32.
        data: the values of a constant, or None if the tensor is computed at inference.
        open_axes: the axes whose size the file leaves to the caller; `shape` has 1 there.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None
    data: NDArray | None = None
    open_axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class FileOperator:
    """An operator of the file.

    Attributes:
        kind: the schema's name, such as CONV_2D.
        version: the operator's version in the schema.
        inputs: indices of tensors; -1 for an optional one that is absent.
        outputs: indices of tensors.
        options: the fields of its options table, by the schema's (camel case) names; enumeration values are
            names.
    """

    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A whole file with one subgraph, one input and one output."""

    name: str
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    input: int
    output: int

    def kinds(self) -> dict[str, int]:
        """Count the operators of each kind, in the order of their first use."""
        return dict(Counter(operator.kind for operator in self.operators))

    def precision(self) -> str:
        """Return what the network computes with: "int8", "uint8" (TensorFlow 1's scheme) or "int16", wholly or in part.

        A network that computes in float32 is called by its weights: "float32", "float16", or "dynamic" for integers,
        whose activations the runtime quantizes as it goes.
        """
        computed = {
            self.tensors[i].dtype for one in self.operators if one.kind != "QUANTIZE" for i in one.outputs
        }
        for kind in ("int16", "int8", "uint8"):
            if kind in computed and any(t.dtype in ("int8", "uint8") for t in self._weights()):
                return kind
        weights = {tensor.dtype for tensor in self._weights()}
        if weights & {"int8", "uint8", "int4", "uint4", "int2"}:
            return "dynamic"
        return "float16" if "float16" in weights else "float32"

    def _weights(self) -> list[FileTensor]:
        return [tensor for tensor in self.tensors if tensor.data is not None and len(tensor.shape) > 1]


class ProgramBuilder:
    """Collects the tensors and operators of one `Program`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: list[FileTensor] = []
        self.operators: list[FileOperator] = []

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        quantization: Quantization | None = None,
    ) -> int:
        """Add a tensor that is computed at inference; return its index."""
        self.tensors.append(FileTensor(name, shape, dtype, quantization))
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray, quantization: Quantization | None = None) -> int:
        """Add a tensor whose values the file holds; return its index."""
        array = np.ascontiguousarray(data)
        self.tensors.append(FileTensor(name, array.shape, str(array.dtype), quantization, array))
        return len(self.tensors) - 1

    def rename(self, index: int, name: str) -> int:
        """Rename a tensor; return its index."""
        self.tensors[index] = replace(self.tensors[index], name=name)
        return index

    def operator(
        self,
        kind: str,
        version: int,
        inputs: tuple[int, ...],
        output: int,
        options: Mapping[str, object] | None = None,
    ) -> int:
        """Add an operator; return the index of its output."""
        self.operators.append(FileOperator(kind, version, inputs, (output,), options or {}))
        return output

    def program(self, input_tensor: int, output_tensor: int) -> Program:
        """Return the finished program."""
        return Program(self.name, tuple(self.tensors), tuple(self.operators), input_tensor, output_tensor)


_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def file_cost(program: Program) -> Cost:
    """Count a file's cost for one picture, as `edgenet.graph.shapes.cost` counts a graph's."""
    constants = {
        i
        for operator in program.operators
        if operator.kind in _WEIGHTED
        for i in operator.inputs[1:3]
        if i >= 0 and program.tensors[i].data is not None
    }
    return Cost(
        mult_adds=sum(operator_mult_adds(program, operator) for operator in program.operators),
        parameters=sum(math.prod(program.tensors[i].shape) for i in constants),
        peak_activation_values=_peak(program),
    )


def operator_mult_adds(program: Program, operator: FileOperator) -> int:
    """Return an operator's mult-adds: its output values times the weights each one uses; 0 without weights."""
    if operator.kind not in _WEIGHTED or min(operator.inputs[1:2], default=-1) < 0 or not operator.outputs:
        return 0
    outputs = math.prod(program.tensors[operator.outputs[0]].shape)
    weight = program.tensors[operator.inputs[1]].shape
    if operator.kind == "CONV_2D":
        return outputs * math.prod(weight[1:])
    return outputs * (
        math.prod(weight[1:3]) if operator.kind == "DEPTHWISE_CONV_2D" else math.prod(weight[-1:])
    )


def _peak(program: Program) -> int:
    """Return the most values in memory at once: those read later, and those of the operator that runs."""
    last_read = {program.output: len(program.operators)}
    for number, operator in enumerate(program.operators):
        last_read |= {i: max(last_read.get(i, 0), number) for i in operator.inputs if i >= 0}
    computed = [program.input]
    peak = 0
    for number, operator in enumerate(program.operators):
        computed += operator.outputs
        live = {i for i in computed if last_read.get(i, number) >= number}
        peak = max(peak, sum(math.prod(program.tensors[i].shape) for i in live))
    return peak
