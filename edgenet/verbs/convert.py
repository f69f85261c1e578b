"""The verb `convert`: turns a float network into a .tflite file, int8 or float."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from device_scripts.model_file import ModelFile
from edgenet.backends import onnx_tf
from edgenet.bundle.manifest import Quantization
from edgenet.data import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import sha256, write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress, silent
from edgenet.quantize.threads import fixed_torch_threads
from edgenet.tflite.layout import float_program
from edgenet.tflite.model_file import write_model
from edgenet.verbs.clock import Clock
from edgenet.verbs.gate import Measured, Trial, check_classes, measure, open_trial, pass_or_keep_aside
from edgenet.verbs.held_out import Fidelity
from edgenet.verbs.mixed import MixedPrecision
from edgenet.verbs.outputs import check_output
from edgenet.verbs.quantizing import (
    Calibration,
    CalibrationPhotos,
    Made,
    open_calibration,
    quantize,
    quantize_by_onnx_tf,
)
from edgenet.verbs.sources import Source, SourceOptions, open_source


@dataclass(frozen=True)
class Conversion:
    """The result of `convert`.

    Attributes:
        out: path of the file.
        mixed: gains and costs of the layers kept in float; None if none were requested.
        fidelity: how close int8 is to float on held-out calibration photos; None for a float file.
        measured: top-1 of float and int8 on labelled photos; None if no labelled photos were given.
        skipped: (name, reason) of the photos that could not be read.
        warnings: what the user should know although the file was made.
        seconds: wall time of each stage, seconds.
    """

    out: str
    sha256: str
    bytes: int
    name: str
    classes: int
    labelled: bool
    operators: int
    kinds: dict[str, int]
    cost: Cost
    quantization: Quantization | None
    mixed: MixedPrecision | None
    fidelity: Fidelity | None
    measured: Measured | None
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def convert(
    source: str,
    out: Path,
    calibration: Calibration | None,
    options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    trial: Trial | None = None,
) -> Conversion:
    """Convert a float network.

    Args:
        source: see `open_source`.
        out: path for the .tflite; an older file there stays intact until the new one is complete.
        calibration: photos and recipe for an int8 file; None for a float file.
        trial: labelled photos to measure the int8 file on, and how much accuracy it may lose there.

    Raises:
        EdgenetError: an input or an option is not usable, or the int8 file loses more accuracy than `trial`
            allows; then the file is kept beside `out` (see `rejected`).
    """
    clock = Clock()
    check_output(out, source)
    photos = open_calibration(calibration, progress) if calibration else None
    labelled = _open_labelled(trial, calibration, out, source)
    clock.lap("photos")
    with fixed_torch_threads():
        opened = open_source(source, options, progress)
        if labelled is not None:
            check_classes(labelled, opened)
        clock.lap("read")
        made = _make(source, options, opened, photos, clock, progress)
        facts = replace(opened.facts, quantization=made.quantization)
        data = write_model(made.program, facts, opened.labels)
        measured = None
        if labelled is not None and made.calibrated is not None:
            model = ModelFile(out, data, sha256(data), opened.labels or (), None)
            measured = measure(labelled, made.calibrated, opened, model, progress)
            data = write_model(made.program, replace(facts, accuracy=measured.accuracy()), opened.labels)
            clock.lap("measure")
    if measured and trial and calibration:
        pass_or_keep_aside(measured, trial.max_drop, out, data, calibration.recipe)
    write_atomically(out, data)
    clock.lap("write")
    return Conversion(
        out=str(out),
        sha256=sha256(data),
        bytes=len(data),
        name=facts.name,
        classes=opened.graph.classes,
        labelled=opened.labels is not None,
        operators=len(made.program.operators),
        kinds=made.program.kinds(),
        cost=cost(opened.graph),
        quantization=made.quantization,
        mixed=made.mixed,
        fidelity=made.fidelity,
        measured=measured,
        skipped=made.skipped + (measured.evaluation.skipped if measured else ()),
        warnings=opened.warnings + made.warnings,
        seconds=clock.seconds,
    )


def _open_labelled(
    trial: Trial | None, calibration: Calibration | None, out: Path, source: str
) -> PhotoSet | None:
    """Open the photos to measure the int8 file on; called first, to report a wrong folder at once."""
    if trial is None:
        return None
    labelled = open_trial(trial, out, source)
    if calibration is None:
        raise EdgenetError("there is nothing to compare a float file with", "leave out --data and --max-drop")
    return labelled


def _make(
    source: str,
    options: SourceOptions,
    opened: Source,
    photos: CalibrationPhotos | None,
    clock: Clock,
    progress: Progress,
) -> Made:
    if photos is None:
        return Made(float_program(lower(opened.graph, exact_border=True)))
    if photos.backend == onnx_tf.NAME:
        from edgenet.verbs.onnx_source import open_onnx_network  # onnx takes 20 MB of memory: import it late

        network = open_onnx_network(source, options)
        return quantize_by_onnx_tf(network, opened.graph, photos, clock, progress)
    return quantize(opened.graph, photos, clock, progress)
