"""The demo's training: trains MobileNetV1 0.25 on handwritten digits in seconds, quantizes and packs it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from edgenet.data.digits import write_digits
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.training.recipe import Augmentation, Recipe
from edgenet.training.state import STATE_FILE
from edgenet.verbs.convert import convert
from edgenet.verbs.evaluate import EvaluationOptions, evaluate
from edgenet.verbs.package import package
from edgenet.verbs.quantizing import Calibration
from edgenet.verbs.train import train
from edgenet.verbs.training_settings import TrainingOptions

TRAINED = "mobilenet_v1_0.25_32"
FOLDER = "digits"
# The moving average of the weights spans only 50 steps, because there are only about 250. No flips, because a
# mirrored digit is a different sign.
RECIPE = Recipe(epochs=6, batch=32, ema_decay=0.98, augmentation=Augmentation(crop_scale=0.6, flip=False))
# The fastest recipe; the demo prints the accuracy that it costs.
QUANTIZATION = "minmax"


@dataclass(frozen=True)
class DigitsDemo:
    """What was trained, and its accuracy on `n` digits that were not used for training.

    Attributes:
        training_s: wall time of the training alone, seconds.
        float_top1, int8_top1: top-1 accuracy on the same `n` digits, percent.
        files: paths of the checkpoint, the int8 file and the bundle.
    """

    training_photos: int
    epochs: int
    training_s: float
    n: int
    float_top1: float
    int8_top1: float
    files: tuple[str, ...]


def digits_demo(out: Path, progress: Progress = silent) -> DigitsDemo:
    """Train, quantize, evaluate and pack a network; train afresh even if an earlier demo left a training.

    Args:
        out: an existing folder; the photos and the training go into its subfolder `digits`.

    Raises:
        EdgenetError: the folder cannot be written.
    """
    folder = out / FOLDER
    run = folder / "training"
    photos = _photos(folder)
    (run / STATE_FILE).unlink(missing_ok=True)
    with _one_torch_thread():
        trained = train(TRAINED, photos, run, TrainingOptions(RECIPE, device="cpu"), progress)
    assert trained is not None  # `train` returns None only in the other processes of a torchrun
    model, bundle = folder / f"{TRAINED}.tflite", folder / f"{TRAINED}.edgenet"
    convert(trained.out, model, Calibration(photos / "train", recipe=QUANTIZATION), progress=progress)
    options = EvaluationOptions(split="test")
    found = evaluate([trained.out, str(model)], photos, options, progress=progress)
    package(model, bundle)
    return DigitsDemo(
        training_photos=trained.training_photos,
        epochs=RECIPE.epochs,
        training_s=trained.seconds,
        n=found.n,
        float_top1=found.models[0].top1,
        int8_top1=found.models[1].top1,
        files=(trained.out, str(model), str(bundle)),
    )


def _photos(folder: Path) -> Path:
    """Write the digits as photos in class folders, replacing older ones; return their folder."""
    photos = folder / "photos"
    try:
        shutil.rmtree(photos, ignore_errors=True)
        write_digits(photos)
    except OSError as error:
        raise EdgenetError(
            f"cannot write into the folder {folder}: {error.strerror}", "give another one with --out"
        ) from None
    return photos


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Run torch with one thread: the layers are so small that several would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
