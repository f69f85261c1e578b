"""The verb `convert`: a float network to a .tflite file, int8 or float."""

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
    """What `convert` made.

    Attributes:
        out: the file.
        mixed: what keeping layers in float brought; None where that was not asked for.
        fidelity: how close int8 is to float on held-out calibration photos; None for a float file.
        measured: top-1 of float and int8 on labelled photos; None where none were given.
        skipped: photos that could not be read, with the reason.
        warnings: what the user should know although the file was made.
        seconds: wall time by stage.
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
    """Converts a float network.

    Args:
        source: see `open_source`.
        out: where the .tflite goes; an older file stays whole until the new one is.
        calibration: for an int8 file; None for a float one.
        trial: labelled photos to measure the int8 file on, and what it may lose there.

    Raises:
        EdgenetError: one line for everything that a user can cause, and for an int8 file that loses more than it may,
            which is then kept beside `out`.
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
    """The photos that the int8 file is measured on; opened first, so that a wrong folder is told at once."""
    if trial is None:
        return None
    labelled = open_trial(trial, out, source)
    if calibration is None:
        raise EdgenetError(
            "a float file has nothing to be measured against", "leave out --data and --max-drop"
        )
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
        from edgenet.verbs.onnx_source import open_onnx_network  # onnx takes 20 MB: only where it is needed

        network = open_onnx_network(source, options)
        return quantize_by_onnx_tf(network, opened.graph, photos, clock, progress)
    return quantize(opened.graph, photos, clock, progress)
