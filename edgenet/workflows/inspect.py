"""The verb `inspect`: shows what a .tflite file contains, and in which layers int8 loses accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from edgenet_device.ports import read_ports

from edgenet.errors import EdgenetError
from edgenet.files import check_output
from edgenet.graph.shapes import Cost, cost
from edgenet.latency.profile import Profile
from edgenet.manifest import Facts
from edgenet.progress import Progress, silent
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, FileTensor, Program, file_cost, operator_mult_adds
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.workflows.arguments import checked
from edgenet.workflows.opened_model import open_model_file

if TYPE_CHECKING:
    from edgenet.workflows.layer_comparison import LayerComparison, LayerComparisonOptions

PLOTS = (".png", ".html")
PHOTOS = 32
"""Number of photos to compare on, unless the user gives another."""


@dataclass(frozen=True)
class OperatorRow:
    """One operator of the file.

    Attributes:
        number: its place in the file, from 0.
        kind: its kind, in the file format's words, such as CONV_2D.
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
    """The result of `inspect`: the contents of a file.

    Attributes:
        model: the file's path, as the user gave it.
        precision: what it computes with: "int8", "float32", or another one of `Program.precision`.
        input, output: name, type and shape of the file's input and output.
        cost: mult-adds, parameters and activations of the network.
        operators: one row for each operator, in the order in which they run.
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
    compared: LayerComparison | None
    profile: Profile | None = None


@checked
def inspect(
    model: str | Path,
    *,
    against: str | Path | None = None,
    data: str | Path | None = None,
    photos: int = PHOTOS,
    normalization: str | None = None,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    architecture: str | None = None,
    plot: str | Path | None = None,
    profile: bool = False,
    on: str = "local",
    progress: Progress = silent,
) -> Inspection:
    """Describe a .tflite file or a bundle; with a float network and photos, also where int8 loses accuracy.

    >>> result = edgenet.inspect("small.tflite", against="small.safetensors", data="photos", photos=4)
    >>> result.precision, result.compared.errors.photos
    ('int8', 4)

    Args:
        model: the .tflite file or bundle.
        against: float network to compare every layer with, as `convert` takes it; needs `data`.
        data: folder or zip of photos for the comparison; needs `against`.
        photos: number of photos to compare on.
        normalization, input_shape, output, architecture: of the network given as `against`, as `convert` takes them.
        plot: the .png or .html file to draw the comparison in.
        profile: measure the time of every operator.
        on: the device to measure the operators on, as `bench` takes it.
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: the file cannot be read, the float network does not match it, only one of `against` and
            `data` is given, or the plot cannot be written.
        TypeError: an argument has the wrong type.
    """
    path = Path(model)
    shape = tuple(input_shape) if input_shape else None
    said = {
        "normalization": normalization,
        "input_shape": shape,
        "output": output,
        "architecture": architecture,
    }
    comparison = _comparison(against, data, photos, said, None if plot is None else Path(plot))
    if comparison and comparison.plot:
        _check_plot(comparison.plot, path, comparison.against)
    result = _describe(path, comparison, on if profile else None, progress)
    if comparison and comparison.plot and result.compared:
        _plot(comparison.plot, result, result.compared)
    return result


def _describe(
    path: Path, comparison: LayerComparisonOptions | None, profile_on: str | None, progress: Progress
) -> Inspection:
    opened = open_model_file(path)
    file = opened.file
    read_ports(file.data, str(path))  # to call a detector or segmenter by its name
    program = read_tflite(file.data, str(path))
    recipe = opened.facts.quantization.recipe if opened.facts and opened.facts.quantization else None
    compared = _compare(program, comparison, recipe, progress) if comparison else None
    return Inspection(
        model=str(path),
        bytes=len(file.data),
        sha256=file.sha256,
        precision=program.precision(),
        input=_port(program.tensors[program.input]),
        output=_port(program.tensors[program.output]),
        labels=len(file.labels),
        facts=opened.facts,
        kinds=program.kinds(),
        cost=_cost(program),
        operators=tuple(_row(program, i, o) for i, o in enumerate(program.operators)),
        compared=compared,
        profile=_profile(profile_on, path, progress) if profile_on else None,
    )


def _compare(
    program: Program, comparison: LayerComparisonOptions, recipe: str | None, progress: Progress
) -> LayerComparison:
    from edgenet.workflows.layer_comparison import compare_layers

    return compare_layers(program, comparison, recipe, progress)


def _profile(on: str, model: Path, progress: Progress) -> Profile:
    from edgenet.workflows.measuring import measure_operators  # it imports all kinds of devices

    return measure_operators(on, model, progress)


def _cost(program: Program) -> Cost:
    """Return the network's cost, as `convert` states it; counted from the tensors where the graph cannot be read."""
    try:
        is_float = program.precision() == "float32"
        return cost(float_graph(program) if is_float else quantized_graph(program).graph)
    except EdgenetError:
        return file_cost(program)


def _comparison(
    against: str | Path | None,
    data: str | Path | None,
    photos: int,
    said: Mapping[str, Any],
    plot: Path | None,
) -> LayerComparisonOptions | None:
    """Return how to compare; `said` has what the user says about the float network, as `SourceOptions` takes it."""
    if (against is None) != (data is None):
        raise EdgenetError(
            f"{'against' if data is None else 'data'} is given alone",
            "give against=FLOAT and data=PHOTOS together",
        )
    if against is None or data is None:
        if plot is not None or any(said.values()):
            raise EdgenetError(
                "there is nothing to compare and plot", "give against=FLOAT and data=PHOTOS too"
            )
        return None
    # Imported only here, because it imports torch, which takes longer than everything else in this command.
    from edgenet.workflows.layer_comparison import LayerComparisonOptions
    from edgenet.workflows.source_options import SourceOptions

    return LayerComparisonOptions(str(against), Path(data), photos, SourceOptions(**said), plot)


def _check_plot(plot: Path, model: Path, against: str) -> None:
    if plot.suffix.lower() not in PLOTS:
        raise EdgenetError(f"the plot {plot} is neither .png nor .html", "give it one of these endings")
    check_output(plot, model, against)


def _plot(plot: Path, result: Inspection, compared: LayerComparison) -> None:
    """Draw the comparison; import matplotlib only here, because it is slow to import."""
    from edgenet.figures.layer_report import LayerReport, layer_rows, write_layer_report

    kinds = {row.output: row.kind for row in result.operators}
    rows = layer_rows(compared.errors, compared.noise, kinds)
    title = f"{Path(result.model).name} against {Path(compared.against).name}"
    write_layer_report(plot, LayerReport(title, compared.errors, compared.noise, compared.advice, rows))


def _port(tensor: FileTensor) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.shape)}"


def _row(program: Program, number: int, operator: FileOperator) -> OperatorRow:
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
        mult_adds=operator_mult_adds(program, operator),
    )
