"""The verb `inspect`: what stands in a .tflite file, and where int8 loses what float knew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenet.bundle.manifest import Facts
from edgenet.data import choose, load_all, open_photos
from edgenet.graph.cost import Cost, cost, node_mult_adds
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress, silent
from edgenet.quantize.error import LayerError, layer_errors
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, FileTensor, Program
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.verbs.model_files import open_model_file
from edgenet.verbs.scorers import precision
from edgenet.verbs.sources import SourceOptions, open_source

PHOTOS = 32


@dataclass(frozen=True)
class OperatorRow:
    """One operator of the file.

    Attributes:
        output: name of the tensor it makes; `shape`, `dtype`, `scale` and `zero_point` are that tensor's.
        weight_bytes: bytes of its constants.
        mult_adds: for one picture; 0 for elementwise work.
    """

    number: int
    kind: str
    output: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    weight_bytes: int
    mult_adds: int


@dataclass(frozen=True)
class Inspection:
    """What a file holds.

    Attributes:
        kinds: how many operators of each kind.
        bytes: of the .tflite, as `sha256`.
        labels: how many class names it carries.
        facts: where it came from, and of a bundle the accuracy; None where nobody wrote it down.
        errors: layer by layer, where a float network and photos were given.
        skipped: photos of the comparison that could not be read, with the reason.
    """

    model: str
    bytes: int
    sha256: str
    precision: str
    input: str
    output: str
    labels: int
    facts: Facts | None
    kinds: dict[str, int]
    cost: Cost
    operators: tuple[OperatorRow, ...]
    errors: tuple[LayerError, ...] | None
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Comparison:
    """What to compare an int8 file with: a float source, on some photos."""

    against: str
    data: Path
    photos: int = PHOTOS


def inspect(
    model: Path,
    comparison: Comparison | None = None,
    options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Inspection:
    """Reads a .tflite file or a bundle.

    Args:
        comparison: for the error of every layer.
        options: for opening the float source.

    Raises:
        EdgenetError: not a readable file, or a float network that does not match it.
    """
    opened = open_model_file(model)
    file = opened.file
    program = read_tflite(file.data, str(model))
    is_int8 = precision(file.data, str(model)) == "int8"
    graph = quantized_graph(program).graph if is_int8 else float_graph(program)
    mult_adds = {node.output: node_mult_adds(graph, node) for node in graph.nodes}
    errors, skipped = _errors(program, comparison, options, progress) if comparison else (None, ())
    return Inspection(
        model=str(model),
        bytes=len(file.data),
        sha256=file.sha256,
        precision="int8" if is_int8 else "float32",
        input=_port(program.tensors[program.input]),
        output=_port(program.tensors[program.output]),
        labels=len(file.labels),
        facts=opened.facts,
        kinds=program.kinds(),
        cost=cost(graph),
        operators=tuple(_row(program, i, o, mult_adds) for i, o in enumerate(program.operators)),
        errors=errors,
        skipped=skipped,
    )


def _port(tensor: FileTensor) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"


def _row(program: Program, number: int, operator: FileOperator, mult_adds: dict[str, int]) -> OperatorRow:
    tensor = program.tensors[operator.outputs[0]]
    constants = [data for i in operator.inputs if i >= 0 and (data := program.tensors[i].data) is not None]
    quantization = tensor.quantization
    return OperatorRow(
        number=number,
        kind=operator.kind,
        output=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        scale=quantization.scales[0] if quantization else None,
        zero_point=quantization.zero_points[0] if quantization else None,
        weight_bytes=int(sum(np.asarray(data).nbytes for data in constants)),
        mult_adds=mult_adds.get(tensor.name, 0),
    )


def _errors(
    program: Program, comparison: Comparison, options: SourceOptions, progress: Progress
) -> tuple[tuple[LayerError, ...], tuple[tuple[str, str], ...]]:
    """The error of every layer, and the photos that could not be read."""
    photos = choose(open_photos(comparison.data), comparison.photos)
    quantized = quantized_graph(program)
    reference = lower(open_source(comparison.against, options, progress).graph, exact_border=False)
    loaded = load_all(photos, reference.size[0])
    errors = layer_errors(
        quantized, reference, loaded.images, lambda done, total: progress("comparing layers", done, total)
    )
    return errors, loaded.skipped
