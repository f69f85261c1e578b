"""The verb `inspect`: shows what a .tflite file contains, and in which layers int8 loses accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgenet.bundle.manifest import Facts
from edgenet.errors import EdgenetError
from edgenet.graph.cost import Cost, cost, node_mult_adds
from edgenet.latency.profile import Profile
from edgenet.latency.profiling import profile
from edgenet.progress import Progress, silent
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, FileTensor, Program
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.verbs.comparison import PHOTOS, Compared, Comparison, compare
from edgenet.verbs.model_files import open_model_file
from edgenet.verbs.outputs import check_output
from edgenet.verbs.scorers import precision
from edgenet.verbs.sources import SourceOptions

__all__ = ["PHOTOS", "Comparison", "Inspection", "OperatorRow", "inspect"]

PLOTS = (".png", ".html")


@dataclass(frozen=True)
class OperatorRow:
    """One operator of the file.

    Attributes:
        output: name of its first output tensor; `shape`, `dtype`, `scale` and `zero_point` describe that
            tensor.
        weight_bytes: size of its constants, bytes.
        mult_adds: mult-adds for one picture; 0 for elementwise operators.
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
    """The contents of a file.

    Attributes:
        bytes: size of the .tflite (`sha256` is its hash, also for a bundle).
        labels: number of class names in the file.
        facts: where the file came from, and for a bundle its accuracy; None if the file does not record it.
        kinds: number of operators of each kind.
        compared: the error of every layer; None if no float network and photos were given.
        profile: how long every operator takes; None if no target was given.
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
    compared: Compared | None
    profile: Profile | None = None


def inspect(
    model: Path,
    comparison: Comparison | None = None,
    options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    profile_on: str | None = None,
) -> Inspection:
    """Describe a .tflite file or a bundle.

    Args:
        comparison: float network and photos to measure the error of every layer with; None to skip that.
        options: for opening the float source.
        profile_on: the target on which every operator is timed; None for no times.

    Raises:
        EdgenetError: the file cannot be read, the float network does not match it, or the plot cannot be
            written.
    """
    if comparison and comparison.plot:
        _check_plot(comparison.plot, model, comparison.against)
    opened = open_model_file(model)
    file = opened.file
    program = read_tflite(file.data, str(model))
    is_int8 = precision(file.data, str(model)) == "int8"
    graph = quantized_graph(program).graph if is_int8 else float_graph(program)
    mult_adds = {node.output: node_mult_adds(graph, node) for node in graph.nodes}
    recipe = opened.facts.quantization.recipe if opened.facts and opened.facts.quantization else None
    compared = compare(program, comparison, recipe, options, progress) if comparison else None
    found = Inspection(
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
        compared=compared,
        profile=profile(profile_on, model, progress) if profile_on else None,
    )
    if comparison and comparison.plot and compared:
        _plot(comparison.plot, found, compared)
    return found


def _check_plot(plot: Path, model: Path, against: str) -> None:
    if plot.suffix.lower() not in PLOTS:
        raise EdgenetError(f"the plot {plot} is neither .png nor .html", "give it one of these endings")
    check_output(plot, model, against)


def _plot(plot: Path, found: Inspection, compared: Compared) -> None:
    """Draw the comparison; import matplotlib only here, because it is slow to import."""
    from edgenet.plots.rows import Report, report_rows
    from edgenet.plots.writing import write_report

    kinds = {row.output: row.kind for row in found.operators}
    rows = report_rows(compared.errors, compared.noise, kinds)
    title = f"{Path(found.model).name} against {Path(compared.against).name}"
    write_report(plot, Report(title, compared.errors, compared.noise, compared.advice, rows))


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
