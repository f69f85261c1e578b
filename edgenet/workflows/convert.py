"""The verb `convert`: turns a float network into a .tflite or .onnx file, int8 or float."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgenet_device.model_file import ModelFile
from torch import nn

from edgenet import onnx_tf
from edgenet.data.file_account import FileAccount
from edgenet.errors import EdgenetError
from edgenet.files import check_output, sha256, write_atomically
from edgenet.graph.lower import lower
from edgenet.graph.shapes import Cost, cost
from edgenet.graph.simplify import made_two_classes
from edgenet.manifest import Facts, Quantization
from edgenet.progress import Progress, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE, fixed_torch_threads
from edgenet.tflite.forms import IO_TYPES, dynamic_program, float16_program, with_io
from edgenet.tflite.from_graph import float_program, write_model
from edgenet.tflite.program import Program
from edgenet.workflows.arguments import checked
from edgenet.workflows.calibration import (
    EDGENET,
    PHOTOS,
    Calibration,
    Clock,
    Fidelity,
    QuantizedModel,
    open_calibration,
    quantize,
    quantize_by_onnx_tf,
)
from edgenet.workflows.partitions import Partitions, find_partitions
from edgenet.workflows.photo_arguments import Photos
from edgenet.workflows.sources import Source, SourceOptions, open_source

if TYPE_CHECKING:
    from edgenet.workflows.accuracy_gate import AccuracyGate, GateResult
    from edgenet.workflows.mixed_precision import MixedPrecision

PRECISIONS = ("int8", "float16", "dynamic", "float32")
FORMATS = ("tflite", "onnx")


@dataclass(frozen=True)
class Conversion:
    """The result of `convert`.

    Attributes:
        out: path of the file.
        sha256, bytes: the file's hash, hexadecimal, and its size.
        name: the network's name, usually that of its variant.
        classes: number of outputs; `labelled` says whether the file names them.
        operators: number of operators in the file, and `kinds` the number of each kind.
        partitions: how XNNPACK runs the file; None if this machine's runtime does not tell.
        cost: mult-adds and parameters of the float network.
        precision: what the file computes with: "int8", "float32", "float16" or "dynamic".
        quantization: how the file was quantized and with which photos; None for a float file.
        mixed: gains and costs of the layers kept in float; None if none were requested.
        fidelity: how close int8 is to float on held-out calibration photos; None for a float file.
        measured: top-1 of float and int8 on labelled photos; None if no labelled photos were given.
        skipped: (name, reason) of the photos that could not be read.
        warnings: what the user should know although the file was made.
        seconds: wall time of each stage, seconds.
        account: what became of every file of the calibration photos; None if they were not files of the user's.
    """

    out: str
    sha256: str
    bytes: int
    name: str
    classes: int
    labelled: bool
    operators: int
    kinds: dict[str, int]
    partitions: Partitions | None
    cost: Cost
    precision: str
    quantization: Quantization | None
    mixed: MixedPrecision | None
    fidelity: Fidelity | None
    measured: GateResult | None
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    account: FileAccount | None


@checked
def convert(
    source: str | Path | nn.Module,
    out: str | Path,
    *,
    calibration: Photos | None = None,
    float: bool = False,
    precision: str | None = None,
    io: str | None = None,
    photos: int = PHOTOS,
    recipe: str = DEFAULT_RECIPE,
    keep_float: str | None = None,
    backend: str = EDGENET,
    data: str | Path | None = None,
    max_drop: float | None = None,
    resolution: int | None = None,
    normalization: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    architecture: str | None = None,
    progress: Progress = silent,
) -> Conversion:
    """Convert a float network to an int8 .tflite, calibrated on photos, or to another form of it.

    >>> edgenet.convert("small.safetensors", "small.tflite", calibration="photos", recipe="fast").quantization.recipe
    'fast'
    >>> edgenet.convert(module, "mine.tflite", calibration=arrays, resolution=64, normalization="-1..1").out
    'mine.tflite'

    Args:
        source: a variant with ImageNet weights; the path of a checkpoint, an .onnx, a Keras model or a float .tflite
            (docs/formats.md); or a torch module that takes normalized RGB [1, 3, H, W] and returns logits [1, N].
        out: path of the .tflite or .onnx; an older file there stays intact until the new one is complete.
        calibration: photos like the camera's, for int8: a folder or zip, "builtin", or RGB arrays uint8 [H, W, 3].
        float: make a float32 file, which needs no photos; the same as precision="float32".
        precision: "int8", or without photos "float32", "float16" or "dynamic" (int8 weights); see docs/formats.md.
        io: type of pixels and scores, "int8", "uint8" or "float32"; None for uint8 pixels and float32 scores.
        photos: number of photos to calibrate with.
        recipe: "minmax", "fast", "balanced" or "best" (the slowest).
        keep_float: layers to keep in float as a last resort, such as "classifier,features.0/*", or "auto".
        backend: "edgenet", or "onnx-tf" for TFLiteConverter.
        data: labelled photos on which to measure float and int8, as `evaluate` takes them.
        max_drop: fail if int8 loses more than this many points of top-1 on `data`.
        resolution: width and height of the input, pixels, for a source that allows several, and for a module.
        normalization: for a source that does not state it: a name, or mean and standard deviation as "R,G,B/R,G,B".
        labels: class names in the order of the outputs: a list, or a text file with one per line.
        input_shape: for an .onnx that leaves it open, such as (1, 3, 224, 224); an open batch alone is 1.
        output: for an .onnx with several outputs, the name of the one with the class scores.
        architecture: of a checkpoint whose tensors do not tell it, such as "tf_mobilenetv3_small_100".
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: an argument is not usable, or int8 loses too much; NAME.rejected.tflite is then kept beside `out`.
        TypeError: an argument has the wrong type.
    """
    path, shape = Path(out), tuple(input_shape) if input_shape else None
    options = SourceOptions(resolution, normalization, labels, shape, output, architecture)
    form = output_form(path, float, precision, io)
    wanted = _Int8Options(calibration, photos, recipe, keep_float, backend, data, max_drop)
    return _begin(source, path, form, options, wanted, progress)


@dataclass(frozen=True)
class _Int8Options:
    """What only an int8 file needs; see the arguments of `convert`."""

    calibration: Photos | None
    photos: int
    recipe: str
    keep_float: str | None
    backend: str
    data: str | Path | None
    max_drop: float | None


def _begin(
    source: str | Path | nn.Module,
    out: Path,
    form: OutputForm,
    options: SourceOptions,
    wanted: _Int8Options,
    progress: Progress,
) -> Conversion:
    """Check what can be checked at once, open the photos, and convert."""
    clock = Clock()
    check_output(out, *(() if isinstance(source, nn.Module) else (source,)))
    _check_kind(form, wanted)
    if wanted.calibration is None:
        return _convert(source, out, form, options, None, None, clock, progress)
    chosen = open_calibration(
        wanted.calibration, wanted.photos, wanted.recipe, wanted.keep_float, wanted.backend, progress
    )
    gate = None
    if wanted.data is not None:
        from edgenet.workflows.accuracy_gate import open_gate

        gate = open_gate(Path(wanted.data), wanted.max_drop, out, source)
    clock.lap("photos")
    return _convert(source, out, form, options, chosen, gate, clock, progress)


def _check_kind(form: OutputForm, wanted: _Int8Options) -> None:
    """Check that photos are given for an int8 file, and only for one."""
    if form.precision != "int8":
        kind = form.precision.replace("float32", "float")
        if wanted.data is not None or wanted.max_drop is not None:
            raise EdgenetError(
                f"there is nothing to compare a {kind} file with", "leave out --data and --max-drop"
            )
        if wanted.calibration is not None or wanted.keep_float is not None:
            raise EdgenetError(
                f"a {kind} file needs no calibration photos and keeps no layers in float",
                f"leave out calibration and keep_float, or {'float' if kind == 'float' else 'precision'}",
            )
    elif wanted.calibration is None:
        raise EdgenetError(
            "neither calibration photos nor float were given",
            "give calibration=PHOTOS for an int8 file, or float=True for a float32 file",
        )
    elif wanted.max_drop is not None and wanted.data is None:
        raise EdgenetError("--max-drop needs --data PHOTOS to measure the drop on", "give labelled photos")
    elif wanted.data is not None and form.format == "onnx":
        raise EdgenetError(
            "--data measures a .tflite", "leave it out, or measure the .tflite of the same network"
        )


def _convert(
    source: str | Path | nn.Module,
    out: Path,
    form: OutputForm,
    options: SourceOptions,
    calibration: Calibration | None,
    gate: AccuracyGate | None,
    clock: Clock,
    progress: Progress,
) -> Conversion:
    """Read the network, quantize it unless `calibration` is None, measure it on the gate's photos, and write it."""
    with fixed_torch_threads():
        opened = open_source(source, options, progress)
        if gate is not None:
            gate.check_classes(opened)
        clock.lap("read")
        if calibration is not None and opened.facts.architecture is None:
            opened = _with_doubts(opened, source, options, calibration)
        model = _make(source, options, opened, calibration, clock, progress)
        facts = replace(opened.facts, quantization=model.quantization)
        data = form.write(model.program, facts, opened.labels)
        measured = None
        if gate is not None and model.calibrated is not None:
            file = ModelFile(out, data, sha256(data), opened.labels or (), None)
            measured = gate.measure(model.calibrated, opened, file, progress)
            data = form.write(model.program, replace(facts, accuracy=measured.accuracy()), opened.labels)
            clock.lap("measure")
    if gate is not None and measured is not None and calibration is not None:
        gate.enforce(measured, out, data, calibration.recipe.name)
    write_atomically(out, data)
    clock.lap("write")
    model = replace(model, program=form.program(model.program))
    return _conversion(out, data, opened, model, measured, clock)


def _with_doubts(
    opened: Source, source: str | Path | nn.Module, options: SourceOptions, calibration: Calibration
) -> Source:
    """Return the network with a warning if another normalization than the given one makes it clearly surer."""
    from edgenet.workflows.normalization_check import given_normalization, graph_warnings

    given = given_normalization(source, options.normalization)
    if given is None:
        return opened
    doubts = graph_warnings(opened.graph, given, calibration.choice.photos)
    return replace(opened, warnings=opened.warnings + doubts)


def _make(
    source: str | Path | nn.Module,
    options: SourceOptions,
    opened: Source,
    calibration: Calibration | None,
    clock: Clock,
    progress: Progress,
) -> QuantizedModel:
    if calibration is None:
        return QuantizedModel(float_program(lower(opened.graph, exact_border=True)))
    if calibration.backend == onnx_tf.NAME:
        if made_two_classes(opened.graph) or options.output is not None:
            raise EdgenetError(
                "onnx-tf takes neither a network with one score nor one with several outputs",
                "leave out --backend",
            )
        # onnx takes 20 MB of memory: import it late
        from edgenet.workflows.onnx_source import open_onnx_network

        network = open_onnx_network(source, options)
        return quantize_by_onnx_tf(network, opened.graph, calibration, clock, progress)
    return quantize(opened.graph, calibration, clock, progress)


def _conversion(
    out: Path, data: bytes, opened: Source, model: QuantizedModel, measured: GateResult | None, clock: Clock
) -> Conversion:
    return Conversion(
        out=str(out),
        sha256=sha256(data),
        bytes=len(data),
        name=opened.facts.name,
        classes=opened.graph.classes,
        labelled=opened.labels is not None,
        operators=len(model.program.operators),
        kinds=model.program.kinds(),
        partitions=find_partitions(model.program, data),
        cost=cost(opened.graph),
        precision=model.program.precision(),
        quantization=model.quantization,
        mixed=model.mixed,
        fidelity=model.fidelity,
        measured=measured,
        skipped=model.skipped + (measured.evaluation.skipped if measured else ()),
        warnings=opened.warnings + model.warnings,
        seconds=clock.seconds,
        account=model.account,
    )


@dataclass(frozen=True)
class OutputForm:
    """The form of a file.

    Attributes:
        precision: one of PRECISIONS; only int8 needs calibration photos.
        io: the type of the input and output, one of IO_TYPES; None for uint8 pixels and float32 scores, which every
            client takes.
        format: one of FORMATS.

    Raises:
        EdgenetError: there is no such form.
    """

    precision: str
    io: str | None = None
    format: str = "tflite"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("precision", self.precision, PRECISIONS),
            ("io", self.io or "uint8", IO_TYPES),
            ("format", self.format, FORMATS),
        ):
            if value not in known:
                raise EdgenetError(f"there is no --{name} {value}", f"give one of {', '.join(known)}")
        if self.format == "onnx" and (self.io is not None or self.precision not in ("int8", "float32")):
            raise EdgenetError(
                "an .onnx takes float32 pixels and is int8 (QDQ) or float32",
                "leave out --io, and give --precision int8 or float32",
            )

    def program(self, made: Program) -> Program:
        """Return a client's program, float or int8, in this form."""
        if self.precision == "float16":
            made = float16_program(made)
        elif self.precision == "dynamic":
            made = dynamic_program(made)
        return made if self.io is None else with_io(made, self.io)

    def write(self, made: Program, facts: Facts, labels: tuple[str, ...] | None) -> bytes:
        """Return the bytes of the file of a client's program, float or int8."""
        if self.format == "onnx":
            from edgenet.to_onnx import onnx_file  # onnx takes 20 MB of memory: import it late

            return onnx_file(made, facts, labels)
        return write_model(self.program(made), facts, labels, made.tensors[made.input].quantization)


def output_form(out: Path, is_float: bool, precision: str | None, io: str | None) -> OutputForm:
    """Return the form that was asked for: int8 unless another precision is, and ONNX if `out` ends in .onnx.

    Raises:
        EdgenetError: the wishes contradict each other, or there is no such form.
    """
    if is_float and precision not in (None, "float32"):
        raise EdgenetError(f"float and precision {precision} were both asked for", "leave out one of them")
    file_format = "onnx" if out.suffix.lower() == ".onnx" else "tflite"
    return OutputForm(precision or ("float32" if is_float else "int8"), io, file_format)
