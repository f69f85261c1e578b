"""Quantization in `convert`: some photos calibrate the network, others judge the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenet.backends import onnx_tf
from edgenet.bundle.manifest import Quantization
from edgenet.data import Loaded, PhotoSet, choose_with_spare, digest, load_all, open_photos
from edgenet.data.choose import Choice
from edgenet.errors import EdgenetError
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from edgenet.tflite.layout import int8_program
from edgenet.tflite.program import Program
from edgenet.verbs.calibration_checks import calibration_warnings, few_photos
from edgenet.verbs.clock import Clock
from edgenet.verbs.float_search import Judge
from edgenet.verbs.held_out import SPARE, Division, Fidelity, divide, fidelity, fidelity_warnings, named, rows
from edgenet.verbs.lite_logits import lite_logits
from edgenet.verbs.mixed import MixedPrecision, keep_layers_float, named_layers

PHOTOS = 100
BACKENDS = ("edgenet", onnx_tf.NAME)


@dataclass(frozen=True)
class Calibration:
    """How to quantize, and with which photos.

    Attributes:
        data: a folder or zip of photos, or an opened photo set.
        photos: number of photos to calibrate with.
        recipe: name of an edgenet recipe; the backend onnx-tf accepts only the default.
        keep_float: layers to keep in float, see `named_layers`; None for none.
        backend: which converter quantizes, one of BACKENDS.
    """

    data: Path | PhotoSet
    photos: int = PHOTOS
    recipe: str = DEFAULT_RECIPE
    keep_float: str | None = None
    backend: str = BACKENDS[0]


@dataclass(frozen=True)
class CalibrationPhotos:
    """Chosen photos and how to quantize with them; the first `wanted` calibrate, the spare ones judge."""

    choice: Choice
    wanted: int
    recipe: Recipe
    keep_float: str | None
    backend: str


@dataclass(frozen=True)
class Made:
    """A converted program; for int8 also how it was quantized, the calibration photos and the judgement."""

    program: Program
    quantization: Quantization | None = None
    calibrated: PhotoSet | None = None
    mixed: MixedPrecision | None = None
    fidelity: Fidelity | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def open_calibration(calibration: Calibration, progress: Progress) -> CalibrationPhotos:
    """Open and choose the calibration photos; to be called first, so that a wrong folder is reported at once.

    Raises:
        EdgenetError: there is no such recipe or backend, the backend is not installed, or there are no
            photos.
    """
    recipe = _recipe(calibration)
    if calibration.photos < 1:
        raise EdgenetError(f"--photos is {calibration.photos}", "give at least 1")
    stage = _stage(progress, "choosing photos")
    data = calibration.data
    opened = data if isinstance(data, PhotoSet) else open_photos(data)
    choice = choose_with_spare(opened, calibration.photos, SPARE, progress=stage)
    return CalibrationPhotos(choice, calibration.photos, recipe, calibration.keep_float, calibration.backend)


def quantize(graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress) -> Made:
    """Quantize a float graph with an edgenet recipe on some photos, and judge the result on the others."""
    lowered = lower(graph, exact_border=False)
    recipe, keep = photos.recipe, photos.keep_float
    if keep is not None:
        named_layers(lowered, keep)  # only to report a wrong name before the slow work
    shown = _look(lowered, photos, clock, progress)
    calibrating, mixed = shown.calibrating, None
    quantized = recipe.quantize(lowered, calibrating, progress)
    clock.lap("quantize")
    if keep is not None:
        judge = Judge(shown.judged, shown.logits)
        quantized, mixed = keep_layers_float(quantized, lowered, calibrating, judge, keep, progress)
        clock.lap("mix")
    steps = (*recipe.steps, *(mixed.steps if mixed else ()))
    program = int8_program(quantized)
    close = fidelity(lite_logits(program, shown.judged), shown.logits, shown.parts.held_out)
    clock.lap("judge")
    return shown.made(program, (recipe.name, steps), close, mixed)


def quantize_by_onnx_tf(
    network: onnx_tf.OnnxNetwork, graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress
) -> Made:
    """Quantize an ONNX network with onnx-tf and TFLiteConverter, and judge the result as `quantize` does.

    Args:
        network: the network as ONNX.
        graph: the same network as a float graph, to compare the answers with.
    """
    shown = _look(lower(graph, exact_border=False), photos, clock, progress)
    progress(onnx_tf.NAME, 0, None)
    program = onnx_tf.convert_int8(network, shown.calibrating)
    clock.lap("quantize")
    close = fidelity(lite_logits(program, shown.judged), shown.logits, shown.parts.held_out)
    clock.lap("judge")
    return shown.made(program, (onnx_tf.NAME, onnx_tf.STEPS), close)


@dataclass(frozen=True)
class _Shown:
    """The loaded photos, which of them calibrate and judge, and the float logits of the judging photos."""

    loaded: Loaded
    parts: Division
    names: PhotoSet
    judged: NDArray[np.uint8]
    logits: NDArray[np.float32]
    warnings: tuple[str, ...]

    @property
    def calibrating(self) -> NDArray[np.uint8]:
        return rows(self.loaded.images, self.parts.calibrating)

    def made(
        self,
        program: Program,
        way: tuple[str, tuple[str, ...]],
        close: Fidelity,
        mixed: MixedPrecision | None = None,
    ) -> Made:
        """Put the result together.

        Args:
            program: the int8 program.
            way: the recipe's name and its steps, for the manifest.
            close: how close the program is to float.
        """
        calibrated = named(self.names, self.loaded, self.parts.calibrating)
        return Made(
            program=program,
            quantization=Quantization(*way, digest(calibrated), len(calibrated)),
            calibrated=calibrated,
            mixed=mixed,
            fidelity=close,
            skipped=self.loaded.skipped,
            warnings=self.warnings + few_photos(len(calibrated)) + fidelity_warnings(close, way[0]),
        )


def _look(graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress) -> _Shown:
    found = photos.choice
    loaded = load_all(found.photos, graph.size[0], progress=_stage(progress, "reading photos"))
    parts = divide(len(loaded), photos.wanted)
    judged = rows(loaded.images, parts.judging)
    logits = run(graph, judged)
    warnings = calibration_warnings(loaded.images, found.repeats, logits)
    clock.lap("photos")
    return _Shown(loaded, parts, found.photos, judged, logits, warnings)


def _recipe(calibration: Calibration) -> Recipe:
    if calibration.recipe not in RECIPES:
        raise EdgenetError(
            f"there is no recipe '{calibration.recipe}'", f"the recipes are {', '.join(RECIPES)}"
        )
    if calibration.backend not in BACKENDS:
        raise EdgenetError(
            f"there is no backend '{calibration.backend}'", f"the backends are {', '.join(BACKENDS)}"
        )
    if calibration.backend == onnx_tf.NAME:
        onnx_tf.check_installed()
        if calibration.recipe != DEFAULT_RECIPE or calibration.keep_float is not None:
            raise EdgenetError(
                f"--recipe and --keep-float do not work with --backend {onnx_tf.NAME}",
                "leave out --recipe and --keep-float, or --backend",
            )
    return RECIPES[calibration.recipe]


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
