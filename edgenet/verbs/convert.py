"""The verb `convert`: a float network to a .tflite file, int8 or float."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgenet.bundle.manifest import Quantization
from edgenet.data import Loaded, PhotoSet, choose, digest, load_all, open_photos
from edgenet.errors import EdgenetError
from edgenet.files import sha256, write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.graph.passes.simplify import lower
from edgenet.progress import Progress, silent
from edgenet.quantize.recipes import DEFAULT_RECIPE, RECIPES, Recipe
from edgenet.tflite.layout import float_program, int8_program
from edgenet.tflite.model_file import write_model
from edgenet.tflite.program import Program
from edgenet.verbs.outputs import check_output
from edgenet.verbs.sources import Source, SourceOptions, open_source

PHOTOS = 100
TORCH_THREADS = 2


@dataclass(frozen=True)
class Calibration:
    """Photos to quantize with: `photos` of those in `data`, by the recipe's name."""

    data: Path
    photos: int = PHOTOS
    recipe: str = DEFAULT_RECIPE


@dataclass(frozen=True)
class Conversion:
    """What `convert` made.

    Attributes:
        out: the file.
        seconds: wall time by stage.
        skipped: photos that could not be read, with the reason.
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
    skipped: tuple[tuple[str, str], ...]
    seconds: dict[str, float]


def convert(
    source: str,
    out: Path,
    calibration: Calibration | None,
    options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Conversion:
    """Converts a float network.

    Args:
        source: see `open_source`.
        out: where the .tflite goes; an older file stays whole until the new one is.
        calibration: for an int8 file; None for a float one.

    Raises:
        EdgenetError: one line for everything that a user can cause.
    """
    clock = _Clock()
    check_output(out, source)
    recipe = _recipe(calibration)
    photos = _open_photos(calibration, progress)
    clock.lap("photos")
    with _fixed_torch_threads():
        opened = open_source(source, options, progress)
        clock.lap("read")
        if recipe is None or photos is None:
            made = _Made(float_program(lower(opened.graph, exact_border=True)), None, ())
        else:
            made = _quantize(opened, recipe, photos, clock, progress)
    facts = replace(opened.facts, quantization=made.quantization)
    data = write_model(made.program, facts, opened.labels)
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
        skipped=made.skipped,
        seconds=clock.seconds,
    )


@dataclass(frozen=True)
class _Made:
    program: Program
    quantization: Quantization | None
    skipped: tuple[tuple[str, str], ...]


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


@contextmanager
def _fixed_torch_threads() -> Iterator[None]:
    """Gives torch the same number of threads everywhere: how it splits float sums among them changes their last bits,
    and with them the ranges, so that the same input would give another file on a machine with more cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(TORCH_THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _recipe(calibration: Calibration | None) -> Recipe | None:
    if calibration is None:
        return None
    if calibration.recipe not in RECIPES:
        raise EdgenetError(
            f"there is no recipe '{calibration.recipe}'", f"the recipes are {', '.join(RECIPES)}"
        )
    return RECIPES[calibration.recipe]


def _open_photos(calibration: Calibration | None, progress: Progress) -> PhotoSet | None:
    """The calibration photos; opened before the network is, so that a wrong folder is told at once."""
    if calibration is None:
        return None
    if calibration.photos < 1:
        raise EdgenetError(f"--photos is {calibration.photos}", "give at least 1")
    photos = open_photos(calibration.data)
    return choose(photos, calibration.photos, progress=_stage(progress, "choosing photos"))


def _stage(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)


def _quantize(opened: Source, recipe: Recipe, photos: PhotoSet, clock: _Clock, progress: Progress) -> _Made:
    graph = lower(opened.graph, exact_border=False)
    loaded = load_all(photos, graph.size[0], progress=_stage(progress, "reading photos"))
    clock.lap("photos")
    quantized = recipe.quantize(graph, loaded.images, progress)
    clock.lap("quantize")
    quantization = Quantization(recipe.name, recipe.steps, digest(_readable(photos, loaded)), len(loaded))
    return _Made(int8_program(quantized), quantization, loaded.skipped)


def _readable(photos: PhotoSet, loaded: Loaded) -> PhotoSet:
    """The photos that took part: what could not be read must not be in the calibration set's hash."""
    names = set(loaded.names)
    return photos.take([index for index, name in enumerate(photos.names) if name in names])
