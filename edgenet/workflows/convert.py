"""The verb `convert`: turns a float network into a .tflite file, int8 or float."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from edgenet_device.model_file import ModelFile

from edgenet import onnx_tf
from edgenet.accuracy import Paired
from edgenet.data.loading import content_hashes, outputs_for
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import check_output, sha256, write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.graph.lower import lower
from edgenet.manifest import Accuracy, Quantization
from edgenet.progress import Progress, silent
from edgenet.quantize.recipes import fixed_torch_threads
from edgenet.tflite.emit import float_program
from edgenet.tflite.model_file import write_model
from edgenet.workflows.calibration import (
    Calibration,
    CalibrationPhotos,
    Clock,
    Fidelity,
    QuantizedModel,
    better_recipe,
    open_calibration,
    quantize,
    quantize_by_onnx_tf,
)
from edgenet.workflows.evaluate import (
    Evaluation,
    EvaluationOptions,
    evaluate_scorers,
    float_scorer,
    lite_scorer,
    open_labelled,
)
from edgenet.workflows.mixed_precision import MixedPrecision
from edgenet.workflows.sources import Source, SourceOptions, open_source


@dataclass(frozen=True)
class GateResult:
    """The result of a trial.

    Attributes:
        evaluation: accuracy of the float network, then of the int8 file as LiteRT runs it.
        calibrating: number of the trial's photos that were left out because they were used for calibration.
    """

    evaluation: Evaluation
    calibrating: int

    @property
    def paired(self) -> Paired:
        """The paired comparison of int8 with float."""
        paired = self.evaluation.models[1].against_first
        assert paired is not None
        return paired

    def accuracy(self) -> Accuracy:
        """Return the accuracy in the form that the file and its bundle record."""
        real, given = self.evaluation.models
        name = Path(self.evaluation.data).resolve().name
        return Accuracy(real.top1, given.top1, self.evaluation.n, name)


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
    measured: GateResult | None
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    seconds: dict[str, float]


def convert(
    source: str,
    out: Path,
    calibration: Calibration | None,
    options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    trial: AccuracyGate | None = None,
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
        enforce_max_drop(measured, trial.max_drop, out, data, calibration.recipe)
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
    trial: AccuracyGate | None, calibration: Calibration | None, out: Path, source: str
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
) -> QuantizedModel:
    if photos is None:
        return QuantizedModel(float_program(lower(opened.graph, exact_border=True)))
    if photos.backend == onnx_tf.NAME:
        from edgenet.workflows.onnx_source import (
            open_onnx_network,  # onnx takes 20 MB of memory: import it late
        )

        network = open_onnx_network(source, options)
        return quantize_by_onnx_tf(network, opened.graph, photos, clock, progress)
    return quantize(opened.graph, photos, clock, progress)


# ==== edgenet.verbs.gate
# The accuracy gate of `convert`: compares int8 with float on labelled photos and rejects large losses.


@dataclass(frozen=True)
class AccuracyGate:
    """The accuracy test for a new int8 file.

    Attributes:
        data: labelled photos, as `evaluate` takes them.
        max_drop: percentage points of top-1 that int8 may lose against float; None to measure the drop
            without a limit.
    """

    data: Path
    max_drop: float | None = None


def open_trial(trial: AccuracyGate, out: Path, source: str) -> PhotoSet:
    """Open the photos of a trial, and report everything that can be reported before the long work begins.

    Raises:
        EdgenetError: `max_drop` is not a number of at least 0, the photos have no labels, or a rejected file
            could not be written.
    """
    if trial.max_drop is not None:
        if not (math.isfinite(trial.max_drop) and trial.max_drop >= 0):
            raise EdgenetError(
                f"--max-drop is {trial.max_drop}", "give points of top-1, 0 or more, such as 0.5"
            )
        check_output(rejected(out), source)
    return open_labelled(trial.data)


def check_classes(photos: PhotoSet, source: Source) -> None:
    """Check that the network has all classes of the photos.

    Raises:
        EdgenetError: it does not; see `outputs_for`.
    """
    used = {label for label in photos.labels if label is not None}
    outputs_for(photos.class_names, used, float_scorer("", source).labels, photos.origin)


def measure(
    photos: PhotoSet, calibrated: PhotoSet, source: Source, model: ModelFile, progress: Progress
) -> GateResult:
    """Evaluate float and int8 on the labelled photos.

    Photos whose contents were used for calibration are left out, because int8 would look better on them than
    it is.

    Raises:
        EdgenetError: no photo is left, or none can be read.
    """
    seen = set(content_hashes(calibrated))
    fresh = [i for i, content in enumerate(content_hashes(photos)) if content not in seen]
    if not fresh:
        raise EdgenetError(
            f"all {len(photos)} photos in {photos.origin} were used for calibration",
            "give --data other photos",
        )
    options = EvaluationOptions()
    scorers = [float_scorer(source.facts.name, source), lite_scorer(str(model.path), model, options.threads)]
    evaluation = evaluate_scorers(scorers, photos.take(fresh), options, progress)
    return GateResult(evaluation, len(photos) - len(fresh))


def rejected(out: Path) -> Path:
    """Return the path for a file that lost too much accuracy: NAME.rejected.tflite beside `out`."""
    return out.with_name(f"{out.stem}.rejected{out.suffix}")


def enforce_max_drop(
    measured: GateResult, max_drop: float | None, out: Path, data: bytes, recipe: str
) -> None:
    """Write a file whose drop exceeds the limit to `rejected(out)` and raise; leave `out` alone.

    Args:
        data: the new .tflite file.
        recipe: the recipe that made it, for the advice.

    Raises:
        EdgenetError: the drop is larger than the limit.
    """
    paired = measured.paired
    # compared in photos, with a tolerance for rounding, so that a drop of exactly the limit passes
    if max_drop is None or paired.lost - paired.won <= max_drop * paired.n / 100 + 1e-9:
        return
    aside = rejected(out)
    write_atomically(aside, data)
    real, given = measured.evaluation.models
    found = (
        f"int8 loses {paired.drop:.2f} points of top-1 on {paired.n} photos of {measured.evaluation.data} "
        f"(float {real.top1:.2f} %, int8 {given.top1:.2f} %, 95 % interval of the drop {paired.interval.low:.2f} to "
        f"{paired.interval.high:.2f} points), more than --max-drop {max_drop:g}; the new file is kept "
        f"aside as {aside}, {out} is untouched"
    )
    chance = (
        ", or more photos in --data: with so few the drop may be chance"
        if paired.interval.low <= max_drop
        else ""
    )
    raise EdgenetError(
        found,
        f"try {better_recipe(recipe)}more calibration photos, or photos more like those in --data{chance}",
    )
