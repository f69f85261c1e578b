"""`edgenet train` compared with a plain training loop: the same network, the same photos, one run, in turns.

    .venv/bin/python -m benchmarks.training [--variant mobilenet_v1_0.5_64] [--photos 2560] [--rounds 5] [--json]

The plain loop is that of a tutorial: weights and batches in NCHW, Pillow in a `DataLoader` with 2 workers (kept between
epochs, which favours it), torch's SGD. Both crop, resize, mirror and normalize, with the same batch, threads and
precision; edgenet also varies colours and averages weights. A round is one epoch of each, timed from the first request
for a photo to the last update. The ratio is edgenet's photos per second over the plain loop's, the median over the
rounds. The time in which edgenet reads all photos once, before the first epoch, is printed beside it.
Needs `make setup`, and the data named in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.environments import ROOT
from edgenet.data.loading import evenly
from edgenet.data.photos import PhotoSet, open_photos, split_folders
from edgenet.errors import EdgenetError
from edgenet.training.learner import new_learner, set_training
from edgenet.training.loader import load_epoch
from edgenet.training.machine import memory_budget
from edgenet.training.photos import read_photos
from edgenet.training.processes import ProcessShare
from edgenet.training.recipe import Distillation, Recipe
from edgenet.training.step import StepSettings, train_step
from edgenet.zoo.registry import build, parse_variant

SCHEMA = "edgenet.benchmark.training.v1"
PHOTOS = "cifar10-images.zip"
GOAL = 1.5
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Pass:
    """One epoch: seconds from the first request to the last update, and the part of them spent waiting for photos."""

    seconds: float
    waiting_s: float


@dataclass(frozen=True)
class Report:
    """The result of the benchmark.

    Attributes:
        ratio: edgenet's speed over the plain loop's, the median over the rounds.
        reading_s: time in which edgenet reads all photos, once before the first epoch.
    """

    schema: str
    variant: str
    photos: int
    batch: int
    threads: int
    ratio: float
    reading_s: float
    plain: tuple[Pass, ...]
    edgenet: tuple[Pass, ...]


def main() -> int:
    """Run the benchmark; return the exit status."""
    options = _parser().parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="edgenet-training-") as folder:
            report = compare(options, Path(folder))
    except EdgenetError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(report), indent=2)) if options.json else _print(report)
    return 0


def compare(options: argparse.Namespace, folder: Path) -> Report:
    """Train with both loops in turns."""
    photos = _unpacked(_some(options.data, options.photos), folder)
    recipe = Recipe(batch=options.batch)
    plain = plain_loop(photos, folder, options.variant, recipe)
    began = time.perf_counter()
    ours = edgenet_loop(photos, options.variant, recipe)
    reading_s = time.perf_counter() - began
    passes: dict[str, list[Pass]] = {"plain": [], "edgenet": []}
    for number in range(options.rounds + 1):
        for name, loop in (("plain", plain), ("edgenet", ours)):
            done = loop(number)
            if number:  # the first round is a warm-up: it starts workers and kernels
                passes[name].append(done)
                print(f"round {number} {name}: {_speed(done, photos):.0f} photos/s", file=sys.stderr)
    pairs = zip(passes["plain"], passes["edgenet"], strict=True)
    return Report(
        schema=SCHEMA,
        variant=options.variant,
        photos=len(photos),
        batch=options.batch,
        threads=torch.get_num_threads(),
        ratio=statistics.median(one.seconds / other.seconds for one, other in pairs),
        reading_s=reading_s,
        plain=tuple(passes["plain"]),
        edgenet=tuple(passes["edgenet"]),
    )


def edgenet_loop(photoset: PhotoSet, variant: str, recipe: Recipe) -> Callable[[int], Pass]:
    """Read the photos; return a function that trains an epoch with edgenet's steps."""
    resolution, classes = parse_variant(variant).resolution, len(set(photoset.labels))
    photos = read_photos(photoset, resolution, memory_budget())
    learner = new_learner(build(variant, classes=classes), recipe, CPU)
    set_training(learner.network, frozen=False)
    settings = StepSettings(recipe, Distillation(), None, CPU, ProcessShare())

    def epoch(number: int) -> Pass:
        began, waiting_s = time.perf_counter(), 0.0
        with closing(load_epoch(photos, recipe, number, resolution, 0, ProcessShare())) as batches:
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                waiting_s += time.perf_counter() - asked
                if batch is None:
                    return Pass(time.perf_counter() - began, waiting_s)
                train_step(learner, batch, settings, number, 0.05)

    return epoch


class PlainPhotos(Dataset):
    """Photo files that Pillow decodes at every access."""

    def __init__(self, photos: PhotoSet, folder: Path, size: int, recipe: Recipe) -> None:
        self.paths = [folder / name for name in photos.names]
        self.labels = photos.labels
        self.size = size
        self.smallest = recipe.augmentation.crop_scale

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as file:
            photo = file.convert("RGB")
        box = self._crop(*photo.size)
        photo = photo.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if torch.rand(()) < 0.5:
            photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(photo)).permute(2, 0, 1).contiguous().float()
        return (pixels - 127) / 127.5, self.labels[index] or 0

    def _crop(self, width: int, height: int) -> tuple[float, float, float, float]:
        area, aspect, left, top = torch.rand(4).tolist()
        area = (self.smallest + (1 - self.smallest) * area) * width * height
        aspect = (4 / 3) ** (2 * aspect - 1)
        w, h = min((area * aspect) ** 0.5, width), min((area / aspect) ** 0.5, height)
        x, y = left * (width - w), top * (height - h)
        return x, y, x + w, y + h


def plain_loop(photos: PhotoSet, folder: Path, variant: str, recipe: Recipe) -> Callable[[int], Pass]:
    """Return a function that trains an epoch with a tutorial's loop."""
    data = PlainPhotos(photos, folder, parse_variant(variant).resolution, recipe)
    loader = DataLoader(data, recipe.batch, shuffle=True, num_workers=2, persistent_workers=True)
    network = build(variant, classes=len(set(photos.labels))).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=recipe.weight_decay)
    criterion = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def epoch(number: int) -> Pass:
        began, waiting_s = time.perf_counter(), 0.0
        batches = iter(loader)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waiting_s += time.perf_counter() - asked
            if batch is None:
                return Pass(time.perf_counter() - began, waiting_s)
            optimizer.zero_grad()
            loss = criterion(network(batch[0]), batch[1])
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch


def _some(path: Path, count: int) -> PhotoSet:
    splits = split_folders(path)
    photos = open_photos(path, split="train" if "train" in splits else None)
    photos = photos.take(evenly(len(photos), count))
    # Classes are numbered again, because some of them may be missing among the chosen photos.
    numbers = {label: number for number, label in enumerate(sorted({label or 0 for label in photos.labels}))}
    return dataclasses.replace(photos, labels=tuple(numbers[label or 0] for label in photos.labels))


def _unpacked(photos: PhotoSet, folder: Path) -> PhotoSet:
    """Write the photos as files for the plain loop; edgenet reads them from where they were."""
    for index, name in enumerate(photos.names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photos.read_bytes(index))
    return photos


def _speed(done: Pass, photos: PhotoSet) -> float:
    return len(photos) / done.seconds


def _print(report: Report) -> None:
    print(f"{report.variant}, {report.photos} photos, batch {report.batch}, {report.threads} threads")
    for name, passes in (("plain loop", report.plain), ("edgenet", report.edgenet)):
        seconds = statistics.median(done.seconds for done in passes)
        waiting = statistics.median(done.waiting_s / done.seconds for done in passes)
        print(
            f"{name:10}  {report.photos / seconds:7.1f} photos/s, waiting for photos {waiting:.1%} of the time"
        )
    print(f"edgenet reads all photos once, in {report.reading_s:.1f} s")
    verdict = "reached" if report.ratio >= GOAL else "missed"
    print(f"ratio {report.ratio:.2f} (goal {GOAL}: {verdict})")
    if os.getloadavg()[0] > report.threads + 1:
        print("the machine was busy with other programs too: measure again")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="mobilenet_v1_0.5_64")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / PHOTOS)
    parser.add_argument("--photos", type=int, default=2560)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
