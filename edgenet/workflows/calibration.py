"""Quantization in `convert`: some photos calibrate the network, others judge the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import load_runtime, make_interpreter
from numpy.typing import NDArray

from edgenet import onnx_tf
from edgenet.accuracy import Interval, wilson
from edgenet.data.loading import Choice, Loaded, choose_with_spare, digest, load_all
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.manifest import Quantization
from edgenet.progress import Progress
from edgenet.quantize.error import sqnr_db
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from edgenet.tflite.emit import int8_program
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.program import Program
from edgenet.workflows.calibration_checks import calibration_warnings, few_photos
from edgenet.workflows.mixed_precision import FloatReference, MixedPrecision, keep_layers_float, named_layers

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
class Fidelity:
    """How close the int8 network's answers are to the float network's, regardless of which answers are right.

    Attributes:
        n: number of photos judged on.
        agreeing: number of photos on which both have the same best class.
        agreement: the same in percent; `agreement_interval` is its 95 % confidence interval.
        sqnr_db: signal to quantization noise ratio of the logits over all photos, dB.
        held_out: whether none of the photos was used for calibration; if False, both figures look too good.
    """

    n: int
    agreeing: int
    agreement: float
    agreement_interval: Interval
    sqnr_db: float
    held_out: bool


@dataclass(frozen=True)
class QuantizedModel:
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
    choice = choose_with_spare(opened, calibration.photos, SPARE_PHOTOS, progress=stage)
    return CalibrationPhotos(choice, calibration.photos, recipe, calibration.keep_float, calibration.backend)


def quantize(graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress) -> QuantizedModel:
    """Quantize a float graph with an edgenet recipe on some photos, and judge the result on the others."""
    lowered = lower(graph, exact_border=False)
    recipe, keep = photos.recipe, photos.keep_float
    if keep is not None:
        named_layers(lowered, keep)  # only to report a wrong name before the slow work
    shown = _load_photos(lowered, photos, clock, progress)
    calibrating, mixed = shown.calibrating, None
    quantized = recipe.quantize(lowered, calibrating, progress)
    clock.lap("quantize")
    if keep is not None:
        judge = FloatReference(shown.judged, shown.logits)
        quantized, mixed = keep_layers_float(quantized, lowered, calibrating, judge, keep, progress)
        clock.lap("mix")
    steps = (*recipe.steps, *(mixed.steps if mixed else ()))
    program = int8_program(quantized)
    close = fidelity(lite_logits(program, shown.judged), shown.logits, shown.parts.held_out)
    clock.lap("judge")
    return shown.made(program, (recipe.name, steps), close, mixed)


def quantize_by_onnx_tf(
    network: onnx_tf.OnnxNetwork, graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress
) -> QuantizedModel:
    """Quantize an ONNX network with onnx-tf and TFLiteConverter, and judge the result as `quantize` does.

    Args:
        network: the network as ONNX.
        graph: the same network as a float graph, to compare the answers with.
    """
    shown = _load_photos(lower(graph, exact_border=False), photos, clock, progress)
    progress(onnx_tf.NAME, 0, None)
    program = onnx_tf.convert_int8(network, shown.calibrating)
    clock.lap("quantize")
    close = fidelity(lite_logits(program, shown.judged), shown.logits, shown.parts.held_out)
    clock.lap("judge")
    return shown.made(program, (onnx_tf.NAME, onnx_tf.STEPS), close)


@dataclass(frozen=True)
class PhotoSplit:
    """Which of the readable photos calibrate and which judge, as indices.

    Attributes:
        held_out: whether the judging photos are different from the calibrating photos.
    """

    calibrating: tuple[int, ...]
    judging: tuple[int, ...]
    held_out: bool


@dataclass(frozen=True)
class _LoadedPhotos:
    """The loaded photos, which of them calibrate and judge, and the float logits of the judging photos."""

    loaded: Loaded
    parts: PhotoSplit
    names: PhotoSet
    judged: NDArray[np.uint8]
    logits: NDArray[np.float32]
    warnings: tuple[str, ...]

    @property
    def calibrating(self) -> NDArray[np.uint8]:
        return take_images(self.loaded.images, self.parts.calibrating)

    def made(
        self,
        program: Program,
        way: tuple[str, tuple[str, ...]],
        close: Fidelity,
        mixed: MixedPrecision | None = None,
    ) -> QuantizedModel:
        """Put the result together.

        Args:
            program: the int8 program.
            way: the recipe's name and its steps, for the manifest.
            close: how close the program is to float.
        """
        calibrated = take_photos(self.names, self.loaded, self.parts.calibrating)
        return QuantizedModel(
            program=program,
            quantization=Quantization(*way, digest(calibrated), len(calibrated)),
            calibrated=calibrated,
            mixed=mixed,
            fidelity=close,
            skipped=self.loaded.skipped,
            warnings=self.warnings + few_photos(len(calibrated)) + fidelity_warnings(close, way[0]),
        )


def _load_photos(graph: Graph, photos: CalibrationPhotos, clock: Clock, progress: Progress) -> _LoadedPhotos:
    found = photos.choice
    loaded = load_all(found.photos, graph.size[0], progress=_stage(progress, "reading photos"))
    parts = split_photos(len(loaded), photos.wanted)
    judged = take_images(loaded.images, parts.judging)
    logits = run(graph, judged)
    warnings = calibration_warnings(loaded.images, found.repeats, logits)
    clock.lap("photos")
    return _LoadedPhotos(loaded, parts, found.photos, judged, logits, warnings)


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


# ==== edgenet.verbs.held_out
# Judges int8 without labels: compares both networks' answers on photos not used for calibration.

SPARE_PHOTOS = 32
"""Number of photos to judge on, if the folder has that many more than calibration needs."""
HOLD_OUT_EVERY = 10
"""If the folder has no spare photos, one photo in this many is kept out of calibration to judge on."""
POOR_AGREEMENT, POOR_SQNR = 95.0, 20.0
"""Limits that separate plain minmax (V1 93.5 % and 13.1 dB, V2 93.5 % and 14.3 dB) from the recipes that keep
the accuracy (95.75 % and 21.7 dB or more): measured on 400 ImageNet photos."""
HANDFUL = 20
"""Agreement on fewer photos says little: one photo is more than 5 %."""


def split_photos(readable: int, wanted: int) -> PhotoSplit:
    """Divide photos into calibrating and judging ones.

    The photos are in an order that depends only on their contents: first those chosen to calibrate, then the
    spare ones.

    Args:
        readable: number of photos that can be read.
        wanted: number of photos that should calibrate.
    """
    everything = tuple(range(readable))
    if readable > wanted:
        return PhotoSplit(everything[:wanted], everything[wanted:], held_out=True)
    aside = everything[HOLD_OUT_EVERY - 1 :: HOLD_OUT_EVERY]
    if not aside:
        return PhotoSplit(everything, everything, held_out=False)
    return PhotoSplit(tuple(i for i in everything if i not in set(aside)), aside, held_out=True)


def take_images(images: NDArray[np.uint8], indices: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the photos [n, H, W, 3] at these indices; a view, not a copy, if the indices are consecutive."""
    first, last = indices[0], indices[-1]
    together = indices == tuple(range(first, last + 1))
    return images[first : last + 1] if together else images[list(indices)]


def take_photos(photos: PhotoSet, loaded: Loaded, indices: tuple[int, ...]) -> PhotoSet:
    """Return the photo set of the loaded photos at these indices."""
    place = {name: index for index, name in enumerate(photos.names)}
    return photos.take([place[loaded.names[index]] for index in indices])


def fidelity(given: NDArray[np.float32], real: NDArray[np.float32], held_out: bool) -> Fidelity:
    """Compare the int8 network with the float one.

    Args:
        given: the int8 network's logits, as LiteRT computes them, float32 [n, N].
        real: the float network's logits, float32 [n, N].
        held_out: whether the photos were kept out of calibration.
    """
    agreeing = int((real.argmax(axis=1) == given.argmax(axis=1)).sum())
    n = len(real)
    noise = float(np.square(real - given.astype(np.float64)).sum())
    return Fidelity(
        n=n,
        agreeing=agreeing,
        agreement=100 * agreeing / n,
        agreement_interval=wilson(agreeing, n),
        sqnr_db=sqnr_db(float(np.square(real.astype(np.float64)).sum()), noise),
        held_out=held_out,
    )


def fidelity_warnings(found: Fidelity, recipe: str) -> tuple[str, ...]:
    """Return a warning that says what is poor and what may help, or nothing.

    Agreement counts as poor only if chance does not explain it: the upper end of its interval must be below
    the limit. So one changed answer in ten photos does not cause a warning.
    """
    poor = []
    if found.agreement_interval.high < POOR_AGREEMENT:
        poor.append(f"it agrees with float on only {found.agreeing} of {found.n} photos")
    if not found.sqnr_db >= POOR_SQNR:
        poor.append(
            f"the logits' SQNR is only {found.sqnr_db:.1f} dB (good files have {POOR_SQNR:g} or more)"
        )
    if not poor:
        return ()
    return (
        f"int8 is far from float: {' and '.join(poor)}; try {better_recipe(recipe)}more photos, or photos like those "
        "the camera will see; edgenet inspect --against shows which layers lose accuracy",
    )


def better_recipe(recipe: str) -> str:
    """Return the advice to use a better recipe, ending in ", " for more to follow; "" for the best recipe."""
    if recipe not in RECIPES:
        return "edgenet's own quantizer (leave out --backend), "
    best = list(RECIPES)[-1]  # RECIPES is ordered from the least thorough to the most thorough
    return "" if recipe == best else f"--recipe {best}, "


# ==== edgenet.verbs.lite_logits
# Computes with LiteRT the logits of a program that ends in a softmax.


def lite_logits(program: Program, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the program without its last operator, a softmax, and return that operator's input.

    Args:
        program: must end in a SOFTMAX that reads float32.
        images: uint8 RGB [n, H, W, 3].

    Returns:
        Logits, float32 [n, N].
    """
    softmax = program.operators[-1]
    assert softmax.kind == "SOFTMAX"
    before = replace(program, operators=program.operators[:-1], output=softmax.inputs[0])
    data = write_tflite(before)
    file = ModelFile(Path(program.name), data, sha256(data), (), None)
    interpreter = make_interpreter(load_runtime(), file, 1)
    image, logits = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(logits["index"])[0])
    return np.stack(rows)


# ==== edgenet.verbs.clock
# Measures how much time each stage of a verb takes.


class Clock:
    """Wall time of each stage, in seconds; the first stage begins when the clock is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the previous lap to this stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
