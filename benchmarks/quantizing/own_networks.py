"""Networks with classes of their own, made once, with the photos that calibrate and judge them.

The photos and their splits are those of `benchmarks.teaching` (benchmarks/README.md): no scene, student or class of
ImageNet is on both sides. Nothing that is judged has trained or calibrated.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.cifar import LIGHT, SMALL, first_of_each, trained
from benchmarks.cifar import PHOTOS as CIFAR_PHOTOS
from benchmarks.classifying.photo_sets import SETS
from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import Photo, Split, write_folder
from benchmarks.quantizing.inputs import JUDGED, STEP, write_calibration
from benchmarks.quantizing.networks import OWN, own_folder, own_photos, own_source
from edgenet.data.loading import load_all
from edgenet.data.photos import open_photos
from edgenet.workflows.teach import teach
from edgenet.workflows.train import TrainingOptions
from edgenet.zoo.checkpoint import load_checkpoint

SEED = 0
RESOLUTION = 96
"""Of the networks that get a head, as in `benchmarks.teaching`."""
BRIEF = TrainingOptions(epochs=8, batch=64, learning_rate=0.1, weight_decay=5e-4, progressive=True, **LIGHT)
"""Of the networks that are trained from random weights, on 1,000 photos of each class."""
CALIBRATE = 100
"""Photos of a draw."""


def write_own_network(key: str, data: Path, inputs: Path) -> None:
    """Make the checkpoint and the photos of a network of `networks.OWN`, unless they are there.

    Raises:
        EdgenetError: a zip is missing in `data`.
        TrainingStopped: a signal came.
    """
    source = own_source(inputs, key)
    if source.is_file():
        return
    folder, own = own_folder(inputs, key), OWN[key]
    split = SETS[own.photo_set].split(Place(data, folder), SEED)
    classes = SETS[own.photo_set].classes
    if own.variant is None:
        training = write_folder(folder / "training", split.training, classes, split.read)
        made = teach(training, folder / "taught", resolution=RESOLUTION, finetune=False, seed=SEED).checkpoint
    else:
        training = first_of_each(data / CIFAR_PHOTOS, folder / "training", SMALL)
        made = trained(own.variant, training, folder / "run", BRIEF)["out"]
    network = load_checkpoint(Path(made))
    write_own_photos(split, classes, network.labels, network.variant.resolution, own_photos(inputs, key))
    shutil.copyfile(made, source)  # last: it shows that everything else is complete


def write_own_photos(
    split: Split, classes: Sequence[str], outputs: Sequence[str], resolution: int, folder: Path
) -> None:
    """Write the judged photos as one array, and training photos as disjoint calibration sets of 100.

    A set with fewer than 200 training photos gives one calibration set, of at most 100.

    Args:
        split: training and judged photos.
        classes: the names of their classes.
        outputs: the names of the network's outputs, of which a judged photo's label is an index.
        resolution: side of the network's input, pixels.
        folder: gets the files, and the photos as they were under `judged` and `calibrating`.
    """
    judged = load_all(
        open_photos(write_folder(folder / "judged", split.judged, classes, split.read)), resolution
    )
    names = open_photos(folder / "judged").class_names
    labels = [outputs.index(names[label or 0]) for label in judged.labels]
    for draw in range(max(1, min(STEP, len(split.training) // CALIBRATE))):
        photos = split.training[draw * CALIBRATE : (draw + 1) * CALIBRATE]
        _write_draw(photos, split, classes, resolution, draw, folder)
    none = np.full(len(labels), -1)  # no judged photo is in a draw
    np.savez(folder / JUDGED, images=judged.images, labels=np.array(labels), draws=none)


def _write_draw(
    photos: list[Photo], split: Split, classes: Sequence[str], resolution: int, draw: int, folder: Path
) -> None:
    raw = write_folder(folder / "calibrating" / str(draw), photos, classes, split.read)
    loaded = load_all(open_photos(raw), resolution)
    write_calibration(folder, draw, loaded.images, [f"{index:03}" for index in range(len(loaded))])
