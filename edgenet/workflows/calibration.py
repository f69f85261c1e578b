"""Quantization in `convert`: some photos calibrate the network, others compare int8 with float, without labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from edgenet_device.model_file import ModelFile
from edgenet_device.runtime import load_runtime, make_interpreter
from numpy.typing import NDArray

from edgenet import onnx_tf
from edgenet.accuracy import Interval, wilson
from edgenet.data.file_account import FileAccount
from edgenet.data.loading import Choice, PreparedPhotos, choose_with_spare, contents_digest, load_all
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.graph.executor import run
from edgenet.graph.ir import Graph
from edgenet.graph.lower import lower
from edgenet.manifest import Quantization
from edgenet.progress import Progress
from edgenet.quantize.quantization_errors import logit_errors, sqnr_db
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from edgenet.tflite.flatbuffer import write_tflite
from edgenet.tflite.forms import highest_logit_of
from edgenet.tflite.from_graph import int8_program
from edgenet.tflite.program import Program
from edgenet.workflows.calibration_checks import calibration_warnings, few_photos
from edgenet.workflows.photo_arguments import Photos, as_photo_set

if TYPE_CHECKING:
    from edgenet.workflows.mixed_precision import MixedPrecision

PHOTOS = 100
"""Number of photos that calibrate, unless the user gives another."""
SPARE_PHOTOS = 32
"""Number of photos to compare on, if the folder has that many more than calibration needs."""
HOLD_OUT_EVERY = 10
"""If the folder has no spare photos, one photo in this many is kept out of calibration to compare on."""
POOR_AGREEMENT, POOR_SQNR = 95.0, 20.0
"""Limits that separate plain minmax (V1 93.5 % and 13.1 dB, V2 93.5 % and 14.3 dB) from the recipes that keep
the accuracy (95.75 % and 21.7 dB or more): measured on 400 ImageNet photos."""
HANDFUL = 20
"""Agreement on fewer photos says little: one photo is more than 5 %."""
EDGENET = "edgenet"
BACKENDS = (EDGENET, onnx_tf.NAME)


@dataclass(frozen=True)
class Calibration:
    """How to quantize, and with which photos: the first `wanted` calibrate, the spare ones compare.

    Attributes:
        choice: the chosen photos, with the spare ones behind them.
        wanted: number of photos to calibrate with.
        recipe: an edgenet recipe; the backend onnx-tf accepts only the default.
        keep_float: layers to keep in float, see `named_layers`; None for none.
        backend: which converter quantizes, one of BACKENDS.
    """

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
        held_out: whether none of the photos was used for calibration; if False, all figures look too good.
        kl: mean Kullback-Leibler divergence of the probabilities from the float network's, nats.
        worst_db: 5th percentile over the photos of the SQNR of a photo's logits, dB.
        saturated: number of photos whose highest logit is the highest that int8 can hold, so that it may be cut off;
            None if the logits are float.
    """

    n: int
    agreeing: int
    agreement: float
    agreement_interval: Interval
    sqnr_db: float
    held_out: bool
    kl: float
    worst_db: float
    saturated: int | None


@dataclass(frozen=True)
class QuantizedModel:
    """A converted program; for int8 also how it was quantized, the calibration photos and the comparison."""

    program: Program
    quantization: Quantization | None = None
    calibrated: PhotoSet | None = None
    mixed: MixedPrecision | None = None
    fidelity: Fidelity | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    account: FileAccount | None = None


def open_calibration(
    photos: Photos, wanted: int, recipe: str, keep_float: str | None, backend: str, progress: Progress
) -> Calibration:
    """Open and choose the calibration photos; to be called first, so that a wrong folder is reported at once.

    Args:
        photos: a folder or zip, "builtin", uint8 RGB arrays, or an opened photo set.
        wanted, recipe, keep_float, backend: see `Calibration`; the recipe is given by its name.

    Raises:
        EdgenetError: there is no such recipe or backend, the backend is not installed, or there are no
            photos.
    """
    steps = _recipe(recipe, keep_float, backend)
    if wanted < 1:
        raise EdgenetError(f"--photos is {wanted}", "give at least 1")
    choice = choose_with_spare(
        as_photo_set(photos, "calibration"),
        wanted,
        SPARE_PHOTOS,
        progress=_stage(progress, "choosing photos"),
    )
    return Calibration(choice, wanted, steps, keep_float, backend)


def _recipe(name: str, keep_float: str | None, backend: str) -> Recipe:
    if name not in RECIPES:
        raise EdgenetError(f"there is no recipe '{name}'", f"the recipes are {', '.join(RECIPES)}")
    if backend not in BACKENDS:
        raise EdgenetError(f"there is no backend '{backend}'", f"the backends are {', '.join(BACKENDS)}")
    if backend == onnx_tf.NAME:
        onnx_tf.check_installed()
        if name != DEFAULT_RECIPE or keep_float is not None:
            raise EdgenetError(
                f"--recipe and --keep-float do not work with --backend {onnx_tf.NAME}",
                "leave out --recipe and --keep-float, or --backend",
            )
    return RECIPES[name]


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def quantize(graph: Graph, calibration: Calibration, clock: Clock, progress: Progress) -> QuantizedModel:
    """Quantize a float graph with an edgenet recipe on some photos, and compare it with float on the others."""
    lowered = lower(graph, exact_border=False)
    recipe, keep = calibration.recipe, calibration.keep_float
    if keep is not None:
        from edgenet.workflows.mixed_precision import FloatReference, keep_layers_float, named_layers

        named_layers(lowered, keep)  # only to report a wrong name before the slow work
    photos = _load_photos(lowered, calibration, clock, progress)
    quantized, mixed = recipe.quantize(lowered, photos.calibrating, progress, _logits), None
    clock.lap("quantize")
    if keep is not None:
        judge = FloatReference(photos.judging, photos.logits)
        quantized, mixed = keep_layers_float(quantized, lowered, photos.calibrating, judge, keep, progress)
        clock.lap("mix")
    steps = (*(quantized.steps or recipe.steps), *(mixed.steps if mixed else ()))
    result = photos.compare(int8_program(quantized), recipe.name, steps)
    clock.lap("judge")
    return replace(result, mixed=mixed)


def _logits(quantized: QuantizedGraph, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return lite_logits(int8_program(quantized), images)


def quantize_by_onnx_tf(
    network: onnx_tf.OnnxNetwork, graph: Graph, calibration: Calibration, clock: Clock, progress: Progress
) -> QuantizedModel:
    """Quantize an ONNX network with onnx-tf and TFLiteConverter, and compare the result as `quantize` does.

    Args:
        network: the network as ONNX.
        graph: the same network as a float graph, to compare the answers with.
    """
    photos = _load_photos(lower(graph, exact_border=False), calibration, clock, progress)
    progress(onnx_tf.NAME, 0, None)
    program = onnx_tf.convert_int8(network, photos.calibrating)
    clock.lap("quantize")
    result = photos.compare(program, onnx_tf.NAME, onnx_tf.STEPS)
    clock.lap("judge")
    return result


@dataclass(frozen=True)
class _LoadedPhotos:
    """The photos in memory.

    Attributes:
        loaded: all photos that can be read.
        split: which of them calibrate and which judge.
        photos: the set that they were loaded from.
        judging: the judging photos, uint8 RGB [n, H, W, 3].
        logits: the float network's logits of the judging photos, float32 [n, N].
        warnings: what is wrong with the photos, one sentence each.
    """

    loaded: PreparedPhotos
    split: PhotoSplit
    photos: PhotoSet
    judging: NDArray[np.uint8]
    logits: NDArray[np.float32]
    warnings: tuple[str, ...]

    @property
    def calibrating(self) -> NDArray[np.uint8]:
        """The calibrating photos, uint8 RGB [n, H, W, 3]."""
        return take_images(self.loaded.images, self.split.calibrating)

    def compare(self, program: Program, recipe: str, steps: tuple[str, ...]) -> QuantizedModel:
        """Compare an int8 program with float on the judging photos.

        Args:
            recipe: the recipe's name, and `steps` its steps, for the manifest.
        """
        given, highest = lite_logits(program, self.judging), highest_logit_of(program)
        close = fidelity(given, self.logits, self.split.held_out, highest)
        calibrated = take_photos(self.photos, self.loaded, self.split.calibrating)
        return QuantizedModel(
            program=program,
            quantization=Quantization(recipe, steps, contents_digest(calibrated), len(calibrated)),
            calibrated=calibrated,
            fidelity=close,
            skipped=self.loaded.skipped,
            account=self.photos.account(len(self.loaded), self.loaded.skipped)
            if self.photos.found.files
            else None,
            warnings=self.warnings + few_photos(len(calibrated)) + fidelity_warnings(close, recipe),
        )


def _load_photos(graph: Graph, calibration: Calibration, clock: Clock, progress: Progress) -> _LoadedPhotos:
    choice = calibration.choice
    loaded = load_all(choice.photos, graph.size, progress=_stage(progress, "reading photos"))
    split = split_photos(len(loaded), calibration.wanted)
    judging = take_images(loaded.images, split.judging)
    logits = run(graph, judging)
    warnings = calibration_warnings(loaded.images, choice.repeats, logits)
    clock.lap("photos")
    return _LoadedPhotos(loaded, split, choice.photos, judging, logits, warnings)


@dataclass(frozen=True)
class PhotoSplit:
    """Which of the readable photos calibrate and which judge, as indices.

    Attributes:
        held_out: whether the judging photos are different from the calibrating photos.
    """

    calibrating: tuple[int, ...]
    judging: tuple[int, ...]
    held_out: bool


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


def take_photos(photos: PhotoSet, loaded: PreparedPhotos, indices: tuple[int, ...]) -> PhotoSet:
    """Return the photo set of the loaded photos at these indices."""
    place = {name: index for index, name in enumerate(photos.names)}
    return photos.take([place[loaded.names[index]] for index in indices])


def fidelity(
    given: NDArray[np.float32], real: NDArray[np.float32], held_out: bool, highest: float | None = None
) -> Fidelity:
    """Compare the int8 network with the float one.

    Args:
        given: the int8 network's logits, as LiteRT computes them, float32 [n, N].
        real: the float network's logits, float32 [n, N].
        held_out: whether the photos were kept out of calibration.
        highest: the highest logit that int8 can hold; None for float logits.
    """
    errors, n = logit_errors(given, real, highest), len(real)
    noise = float(np.square(real - given.astype(np.float64)).sum())
    return Fidelity(
        n=n,
        agreeing=errors.agreeing,
        agreement=100 * errors.agreeing / n,
        agreement_interval=wilson(errors.agreeing, n),
        sqnr_db=sqnr_db(float(np.square(real.astype(np.float64)).sum()), noise),
        held_out=held_out,
        kl=errors.kl,
        worst_db=errors.worst_db,
        saturated=errors.saturated,
    )


def fidelity_warnings(close: Fidelity, recipe: str) -> tuple[str, ...]:
    """Return a warning that says what is poor and what may help, or nothing.

    Agreement counts as poor only if chance does not explain it: the upper end of its interval must be below
    the limit. So one changed answer in ten photos does not cause a warning. On fewer than HANDFUL photos only the SQNR
    counts.
    """
    poor = []
    if close.n >= HANDFUL and close.agreement_interval.high < POOR_AGREEMENT:
        poor.append(f"it agrees with float on only {close.agreeing} of {close.n} photos")
    if not close.sqnr_db >= POOR_SQNR:
        poor.append(
            f"the logits' SQNR is only {close.sqnr_db:.1f} dB (good files have {POOR_SQNR:g} or more)"
        )
    cut_off = () if not close.saturated else (_saturation(close.saturated, close.n),)
    if not poor:
        return cut_off
    return (
        *cut_off,
        f"int8 is far from float: {' and '.join(poor)}; try {better_recipe(recipe)}more photos, or photos like those "
        "the camera will see; edgenet inspect --against shows which layers lose accuracy",
    )


def _saturation(saturated: int, n: int) -> str:
    return (
        f"logits saturate on {saturated} of {n} photos: their highest logit is the highest that int8 can hold, so that "
        "classes of which the network is sure may tie; calibrate with photos that the network is as sure of"
    )


def better_recipe(recipe: str) -> str:
    """Return the advice to use a better recipe, ending in ", " for more to follow; "" for the best recipe."""
    if recipe not in RECIPES:
        return "edgenet's own quantizer (leave out --backend), "
    best = list(RECIPES)[-1]  # RECIPES is ordered from the least thorough to the most thorough
    return "" if recipe == best else f"--recipe {best}, "


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
    interpreter = make_interpreter(load_runtime(), file, 1, trusted=True)
    image, logits = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(logits["index"])[0])
    return np.stack(rows)


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
