"""Trains, quantizes and evaluates one variant of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgenet.data import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.progress import Progress
from edgenet.training.job import Material, read_material
from edgenet.training.plan import Plan
from edgenet.training.state import STATE_FILE
from edgenet.verbs.convert import convert
from edgenet.verbs.evaluate import EvaluationOptions, evaluate_scorers
from edgenet.verbs.quantizing import Calibration
from edgenet.verbs.scorers import open_scorer
from edgenet.verbs.sources import SourceOptions
from edgenet.verbs.sweep_rows import Made
from edgenet.verbs.sweep_settings import SweepOptions, recipe_of
from edgenet.verbs.train import resume_training, train
from edgenet.verbs.training_result import Training
from edgenet.zoo.registry import Variant

Say = Callable[[str], None]


def model_path(folder: Path, variant: Variant) -> Path:
    """Return the path of a variant's int8 file."""
    return folder / f"{variant.name}.tflite"


def read_division(variant: Variant, data: Path, options: SweepOptions, progress: Progress) -> Material:
    """Return the training and validation photos that every variant shares, without pixels in memory.

    Raises:
        EdgenetError: see `train`.
    """
    training = options.training
    recipe = recipe_of(training)
    plan = Plan(variant.name, str(data), recipe, training.distillation, hold_out=training.hold_out, memory=0)
    return read_material(plan, variant.resolution, progress)


def make_variant(
    variant: Variant,
    data: Path,
    folder: Path,
    options: SweepOptions,
    photos: tuple[PhotoSet, PhotoSet],
    progress: Progress,
    say: Say,
) -> Made:
    """Train a variant, or resume its training; then quantize and evaluate it.

    Args:
        folder: folder for the variant's training and int8 file; made if missing.
        photos: the photos to calibrate with, and the photos to evaluate with.

    Raises:
        EdgenetError, TrainingStopped: see `train` and `convert`.
    """
    folder.mkdir(exist_ok=True)
    calibrating, judging = photos

    def named(stage: str, done: int, total: int | None) -> None:
        progress(f"{variant.name}: {stage}", done, total)  # so that each variant has its own progress bars

    trained = _train(variant, data, folder / "training", options, named, say)
    model = model_path(folder, variant)
    made = convert(trained.out, model, Calibration(calibrating, recipe=options.recipe), progress=named)
    scorers = [
        open_scorer(name, SourceOptions(), EvaluationOptions().threads) for name in (trained.out, str(model))
    ]
    found = evaluate_scorers(scorers, judging, EvaluationOptions(), named)
    real, int8 = found.models
    return Made(
        variant=variant.name,
        width=variant.width,
        resolution=variant.resolution,
        mult_adds=trained.mult_adds,
        parameters=trained.parameters,
        bytes=made.bytes,
        n=found.n,
        float_top1=real.top1,
        int8_top1=int8.top1,
        int8_low=int8.top1_interval.low,
        int8_high=int8.top1_interval.high,
    )


def _train(
    variant: Variant, data: Path, run: Path, options: SweepOptions, progress: Progress, say: Say
) -> Training:
    if (run / STATE_FILE).exists():
        trained = resume_training(run, data, progress, say)
    else:
        trained = train(variant.name, data, run, options.training, progress, say)
    if trained is None:
        raise EdgenetError("a sweep runs in one process", "start it without torchrun")
    return trained
