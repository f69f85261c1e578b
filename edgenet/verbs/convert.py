"""The verb `convert`: a float network to a .tflite file, int8 or float."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from device_scripts.model_file import ModelFile
from edgenet.bundle.manifest import Quantization
from edgenet.data import PhotoSet, choose_with_spare, digest, load_all, open_photos
from edgenet.data.choose import Choice
from edgenet.errors import EdgenetError
from edgenet.files import sha256, write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.graph.executor import run
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from edgenet.quantize.threads import fixed_torch_threads
from edgenet.tflite.layout import float_program, int8_program
from edgenet.tflite.model_file import write_model
from edgenet.tflite.program import Program
from edgenet.verbs.calibration_checks import calibration_warnings, few_photos
from edgenet.verbs.float_search import Judge
from edgenet.verbs.gate import Measured, Trial, check_classes, measure, open_trial, pass_or_keep_aside
from edgenet.verbs.held_out import SPARE, Fidelity, divide, fidelity, fidelity_warnings, named
from edgenet.verbs.mixed import MixedPrecision, keep_layers_float, named_layers
from edgenet.verbs.outputs import check_output
from edgenet.verbs.sources import Source, SourceOptions, open_source

PHOTOS = 100


@dataclass(frozen=True)
class Calibration:
    """Photos to quantize with: `photos` of those in `data`, by the recipe's name.

    Attributes:
        data: a folder or zip, or photos that are open.
        keep_float: layers to keep in float all the same, see `named_layers`; None for none.
    """

    data: Path | PhotoSet
    photos: int = PHOTOS
    recipe: str = DEFAULT_RECIPE
    keep_float: str | None = None


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
    clock = _Clock()
    check_output(out, source)
    photos = _open_photos(calibration, progress)
    labelled = _open_labelled(trial, calibration, out, source)
    clock.lap("photos")
    with fixed_torch_threads():
        opened = open_source(source, options, progress)
        if labelled is not None:
            check_classes(labelled, opened)
        clock.lap("read")
        made = _quantize(opened, photos, clock, progress) if photos else _keep_float(opened)
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


@dataclass(frozen=True)
class _Made:
    """A program, and for int8 the photos that it was calibrated on and what became of them."""

    program: Program
    quantization: Quantization | None = None
    calibrated: PhotoSet | None = None
    mixed: MixedPrecision | None = None
    fidelity: Fidelity | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Ends a piece of work, which counts towards its stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


def _recipe(calibration: Calibration) -> Recipe:
    if calibration.recipe not in RECIPES:
        raise EdgenetError(
            f"there is no recipe '{calibration.recipe}'", f"the recipes are {', '.join(RECIPES)}"
        )
    return RECIPES[calibration.recipe]


@dataclass(frozen=True)
class _Photos:
    """Photos by their contents, the recipe that takes them, and how many of them it wants; the others may judge.

    Attributes:
        keep_float: as in `Calibration`.
    """

    choice: Choice
    wanted: int
    recipe: Recipe
    keep_float: str | None


def _open_photos(calibration: Calibration | None, progress: Progress) -> _Photos | None:
    """The calibration photos; opened before the network is, so that a wrong folder is told at once."""
    if calibration is None:
        return None
    recipe = _recipe(calibration)
    if calibration.photos < 1:
        raise EdgenetError(f"--photos is {calibration.photos}", "give at least 1")
    stage = _stage(progress, "choosing photos")
    data = calibration.data
    opened = data if isinstance(data, PhotoSet) else open_photos(data)
    choice = choose_with_spare(opened, calibration.photos, SPARE, progress=stage)
    return _Photos(choice, calibration.photos, recipe, calibration.keep_float)


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def _keep_float(opened: Source) -> _Made:
    return _Made(float_program(lower(opened.graph, exact_border=True)))


def _quantize(opened: Source, photos: _Photos, clock: _Clock, progress: Progress) -> _Made:
    """Quantizes on some of the photos, and judges on others."""
    graph = lower(opened.graph, exact_border=False)
    found, recipe, keep = photos.choice, photos.recipe, photos.keep_float
    if keep is not None:
        named_layers(graph, keep)  # a wrong name is told before anything takes its time
    loaded = load_all(found.photos, graph.size[0], progress=_stage(progress, "reading photos"))
    parts = divide(len(loaded), photos.wanted)
    judged = loaded.images[list(parts.judging)]
    logits = run(graph, judged)
    warnings = calibration_warnings(loaded.images, found.repeats, logits)
    clock.lap("photos")
    calibrating, mixed = loaded.images[list(parts.calibrating)], None
    quantized = recipe.quantize(graph, calibrating, progress)
    clock.lap("quantize")
    if keep is not None:
        judge = Judge(judged, logits)
        quantized, mixed = keep_layers_float(quantized, graph, calibrating, judge, keep, progress)
        clock.lap("mix")
    steps = (*recipe.steps, *(mixed.steps if mixed else ()))
    close = fidelity(quantized, logits, judged, parts.held_out)
    clock.lap("judge")
    calibrated = named(found.photos, loaded, parts.calibrating)
    return _Made(
        program=int8_program(quantized),
        quantization=Quantization(recipe.name, steps, digest(calibrated), len(calibrated)),
        calibrated=calibrated,
        mixed=mixed,
        fidelity=close,
        skipped=loaded.skipped,
        warnings=warnings + few_photos(len(calibrated)) + fidelity_warnings(close, recipe.name),
    )
