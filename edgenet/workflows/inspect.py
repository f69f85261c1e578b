"""The verb `inspect`: shows what a .tflite file contains, and in which layers int8 loses accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenet.data.loading import choose, load_all
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError
from edgenet.files import check_output
from edgenet.graph.clean import drop_final_softmax
from edgenet.graph.cost import Cost, cost, node_mult_adds
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.latency.profile import Profile
from edgenet.manifest import Facts
from edgenet.progress import Progress, silent
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.error import Decode, LayerErrors, decoder_from_encoding, layer_errors
from edgenet.quantize.noise import NoiseShares, noise_shares
from edgenet.tflite.flatbuffer import read_tflite
from edgenet.tflite.program import FileOperator, FileTensor, Program
from edgenet.tflite.to_graph import float_graph, quantized_graph
from edgenet.workflows.advice import advise, propose_keep_float
from edgenet.workflows.evaluate import open_model_file, precision
from edgenet.workflows.measuring import profile
from edgenet.workflows.sources import NORMALIZATIONS, SourceOptions, open_source, parse_normalization
from edgenet.zoo.classifier import Normalization

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
class LayerComparison:
    """The result of `compare`.

    Attributes:
        against: the float source.
        input: what the file's input expects: "pixels", or the normalization that matched the float network
            best.
        errors: the error of every layer.
        noise: where the noise at the logits comes from.
        advice: what to do, in plain words.
        skipped: (name, reason) of the photos that could not be read.
    """

    against: str
    input: str
    errors: LayerErrors
    noise: NoiseShares
    advice: str
    skipped: tuple[tuple[str, str], ...]


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
    compared: LayerComparison | None
    profile: Profile | None = None


def inspect(
    model: Path,
    comparison: LayerComparisonOptions | None = None,
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
    compared = compare_layers(program, comparison, recipe, options, progress) if comparison else None
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


def _plot(plot: Path, found: Inspection, compared: LayerComparison) -> None:
    """Draw the comparison; import matplotlib only here, because it is slow to import."""
    from edgenet.figures.layer_rows import Report, report_rows
    from edgenet.figures.layers import write_report

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


# ==== edgenet.verbs.comparison
# Compares an int8 file with the float network that it was made from, layer by layer, on photos.

PHOTOS = 32
NOISE_PHOTOS = 8
"""The noise shares need one run per layer, but few photos: they are sums over all logits."""


@dataclass(frozen=True)
class LayerComparisonOptions:
    """What to compare an int8 file with, and on what.

    Attributes:
        against: the float source, as `open_source` takes it.
        data: folder or zip of photos.
        photos: number of photos to use; the noise shares use the first `NOISE_PHOTOS` of them.
        plot: the .png or .html file to draw, or None.
    """

    against: str
    data: Path
    photos: int = PHOTOS
    plot: Path | None = None


def compare_layers(
    program: Program,
    comparison: LayerComparisonOptions,
    recipe: str | None,
    options: SourceOptions,
    progress: Progress,
) -> LayerComparison:
    """Compare a file with a float network.

    Args:
        program: the int8 file.
        recipe: the edgenet recipe that made the file, for the advice; None for another tool's file.
        options: for opening the float source; a file that takes normalized numbers gets the same
            normalization.

    Raises:
        EdgenetError: the file is not int8, the float network does not match it, or no photo can be read.
    """
    photos = choose(open_photos(comparison.data), comparison.photos)
    quantized = quantized_graph(program)
    quantized = replace(quantized, graph=drop_final_softmax(quantized.graph))
    reference = lower(open_source(comparison.against, options, progress).graph, exact_border=False)
    loaded = load_all(photos, reference.size[0])
    name, decode = find_input(program, quantized, reference, loaded.images[:1], options.normalization)
    errors = layer_errors(
        quantized,
        reference,
        loaded.images,
        decode,
        lambda done, total: progress("comparing layers", done, total),
    )
    noise = noise_shares(
        quantized,
        reference,
        loaded.images[:NOISE_PHOTOS],
        decode,
        lambda done, total: progress("rounding one tensor at a time", done, total),
    )
    advice = advise(errors, noise, recipe, propose_keep_float(noise, quantized))
    return LayerComparison(comparison.against, name, errors, noise, advice, loaded.skipped)


# ==== edgenet.verbs.foreign_input
# Finds how another tool's int8 file takes photos: it may need normalized input without saying so.

PIXELS = "pixels"


def find_input(
    program: Program,
    quantized: QuantizedGraph,
    reference: Graph,
    images: NDArray[np.uint8],
    normalization: str | None,
) -> tuple[str, Decode]:
    """Find how to turn photos into the file's input.

    A file with uint8 input takes pixels. For any other file, each way is tried, and the one whose first layer
    comes closest to the float network's first layer is chosen.

    Args:
        program: the file.
        quantized: the file's graph.
        reference: the float network's graph.
        images: uint8 RGB [n, H, W, 3] to try the ways on; one photo is enough.
        normalization: the only normalization to try besides plain pixels; None to try all of NORMALIZATIONS.

    Returns:
        The name of the way ("pixels" or a normalization), and the function that turns photos into real input
        values.
    """
    source = program.tensors[program.input]
    if source.dtype == "uint8" and source.quantization is not None:
        scale, zero_point = source.quantization.scales[0], source.quantization.zero_points[0]
        return PIXELS, lambda pixels: (pixels.astype(np.float32) - zero_point) * np.float32(scale)
    ways: dict[str, Decode] = {PIXELS: decoder_from_encoding(quantized.graph)}
    for name in [normalization] if normalization else NORMALIZATIONS:
        ways[name] = _normalizing(parse_normalization(name))
    name = max(ways, key=lambda way: layer_errors(quantized, reference, images, ways[way]).layers[0].sqnr_db)
    return name, ways[name]


def _normalizing(normalization: Normalization) -> Decode:
    mean, std = (np.array(values, np.float32) for values in (normalization.mean, normalization.std))
    return lambda images: (images - mean) / std
