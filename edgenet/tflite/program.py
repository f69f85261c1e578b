"""What stands in a .tflite file, in plain values: the step between the graph and the flatbuffer, in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Quantization:
    """real = scale * (q - zero_point), for the whole tensor or along one axis."""

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor of the file.

    Attributes:
        data: None where the device computes it.
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
        version: of the operator, as the schema counts.
        inputs: indices of tensors; -1 for an optional one that is absent.
        outputs: indices of tensors.
        options: the fields of its options table, by the schema's (camel case) names; enumerations by name.
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
        """How many operators of each kind, in the order of their first use."""
        return dict(Counter(operator.kind for operator in self.operators))


class ProgramBuilder:
    """Collects tensors and operators."""

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
        """Adds a tensor that the device computes; returns its index."""
        self.tensors.append(FileTensor(name, shape, dtype, quantization))
        return len(self.tensors) - 1

    def constant(self, name: str, data: NDArray, quantization: Quantization | None = None) -> int:
        """Adds a tensor that the file holds; returns its index."""
        array = np.ascontiguousarray(data)
        self.tensors.append(FileTensor(name, array.shape, str(array.dtype), quantization, array))
        return len(self.tensors) - 1

    def rename(self, index: int, name: str) -> int:
        """Calls a tensor otherwise; returns its index."""
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
        """Adds an operator; returns the index of its output."""
        self.operators.append(FileOperator(kind, version, inputs, (output,), options or {}))
        return output

    def program(self, input_tensor: int, output_tensor: int) -> Program:
        """The finished program."""
        return Program(self.name, tuple(self.tensors), tuple(self.operators), input_tensor, output_tensor)
