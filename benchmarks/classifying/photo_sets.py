"""The photo sets of the teaching benchmark, and how each is split into training and judged photos.

Every photo has an origin, such as the background that it was made from; no origin is on both sides of a split. A split
depends only on the set and the seed: the judged photos are the same for all sizes, and a smaller training set is part
of every larger one.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.classifying.sources import Place
from benchmarks.classifying.split import Photo, Split, apart, limited
from benchmarks.classifying.stamps import TOOLS, stamp_split

VERSION = 1
"""Part of the name of the folder for prepared photos and results; to be raised when a split changes."""
JUDGED = 200
"""The most judged photos of each class."""


@dataclass(frozen=True)
class BenchmarkSet:
    """A photo set of the benchmark.

    Attributes:
        classes: the class names; a photo's label is an index into them.
        judged: what the judged photos are, and so why they are independent of the training photos.
        imagenet: whether the photos are of ImageNet's kind, which flatters features that were trained on ImageNet.
        split: makes the split of a seed.
    """

    classes: tuple[str, ...]
    judged: str
    imagenet: bool
    split: Callable[[Place, int], Split]


SUPERCLASSES: dict[str, Sequence[int]] = {
    "bird": [*range(7, 25), *range(80, 101), *range(127, 147)],
    "dog": range(151, 269),
    "invertebrate": [*range(69, 80), *range(107, 127), *range(300, 330)],
    "reptile": range(25, 69),
    "vehicle": [404, 408, 436, 444, 450, 466, 468, 472, 484, 510, 554, 576, 586, 612, 628, 654, 656, 670, 690, 724,
                734, 780, 802, 812, 814, 820, 864, 866, 870, 874, 880, 914],
}  # fmt: skip
"""The ImageNet class indices of each superclass; reptiles here include amphibians."""


def _superclasses(place: Place, seed: int) -> Split:
    archive = place.zip("imagenet-sample-500.zip")
    rows = csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8"))
    known = {index: label for label, indices in enumerate(SUPERCLASSES.values()) for index in indices}
    photos = [
        Photo(known[index], row["file"], row["file"])
        for row in rows
        if (index := int(row["class_index"])) in known
    ]
    random = np.random.default_rng(seed)
    judged: list[Photo] = []
    training: list[Photo] = []
    for label in range(len(SUPERCLASSES)):
        own = _shuffled([photo for photo in photos if photo.label == label], random)
        judged += own[: len(own) // 2]
        training += own[len(own) // 2 :]
    return Split(training, judged, lambda photo: archive.read(photo.name))


STUDENT = 12
"""A student's ten signs have numbers that are at most this far apart."""


def _hand_signs(place: Place, seed: int) -> Split:
    """Judge stretches of about ten students: the photos were taken and numbered student after student."""
    archive = place.zip("hand-signs.zip")
    names = [name for name in archive.namelist() if name.lower().endswith(".jpg")]
    numbers = [int(re.findall(r"\d+", PurePosixPath(name).name)[0]) for name in names]
    photos = [
        Photo(int(PurePosixPath(name).parent.name), name, str(number))
        for name, number in zip(names, numbers, strict=True)
    ]
    random = np.random.default_rng(seed)
    training, judged = apart(photos, numbers, stretch=100, gap=STUDENT, share=0.4, random=random)
    return Split(training, limited(judged, JUDGED), lambda photo: archive.read(photo.name))


CIFAR_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _cifar10(place: Place, seed: int) -> Split:
    archive = place.zip("cifar10-images.zip")
    random = np.random.default_rng(seed)

    def read(part: str) -> list[Photo]:
        names = [name for name in archive.namelist() if f"/{part}/" in name and name.endswith(".jpg")]
        found = [Photo(CIFAR_CLASSES.index(PurePosixPath(name).parent.name), name, name) for name in names]
        return _shuffled(found, random)

    return Split(read("train"), limited(read("test"), JUDGED), lambda photo: archive.read(photo.name))


FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


def _fashion(place: Place, seed: int) -> Split:
    folder = place.debian("dataset-fashion-mnist") / "usr/share/datasets/fashion-mnist"
    random = np.random.default_rng(seed)
    pixels: dict[str, NDArray[np.uint8]] = {}

    def read(part: str) -> list[Photo]:
        pixels[part] = _idx(folder / f"{part}-images-idx3-ubyte.gz")
        labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz")
        found = [
            Photo(int(label), f"{part}-{index:05d}.png", f"{part} {index}")
            for index, label in enumerate(labels)
        ]
        return _shuffled(found, random)

    def png(photo: Photo) -> bytes:
        part, index = photo.origin.split()
        return _encoded(".png", pixels[part][int(index)])

    return Split(read("train"), limited(read("t10k"), JUDGED), png)


MODULE = 72
"""The most cells of a solar module."""


def _solar_cells(place: Place, seed: int) -> Split:
    """Judge stretches of the cells' numbers; training cells are more than a module away from them."""
    folder = place.pypi("elpv-dataset==1.0.0.post1") / "elpv_dataset/data"
    rows = [line.split() for line in (folder / "labels.csv").read_text().splitlines() if line.strip()]
    sure = {"0.0": 0, "1.0": 1}  # the experts were unsure about the other cells
    photos = [Photo(sure[row[1]], row[0], row[0]) for row in rows if row[1] in sure]
    numbers = [int(re.findall(r"\d+", photo.name)[0]) for photo in photos]
    random = np.random.default_rng(seed)
    training, judged = apart(photos, numbers, stretch=328, gap=MODULE, share=0.35, random=random)
    return Split(training, limited(judged, JUDGED), lambda photo: (folder / photo.name).read_bytes())


SETS = {
    "superclasses": BenchmarkSet(
        tuple(SUPERCLASSES), "photos of other ImageNet classes", True, _superclasses
    ),
    "hand-signs": BenchmarkSet(tuple("0123456789"), "photos of other students", False, _hand_signs),
    "cifar10": BenchmarkSet(
        CIFAR_CLASSES, "CIFAR-10's test photos, whose classes are ImageNet's but at 32 pixels", False, _cifar10
    ),
    "fashion": BenchmarkSet(FASHION_CLASSES, "Fashion-MNIST's test pictures, of other articles", False, _fashion),
    "solar-cells": BenchmarkSet(
        ("functional", "defective"), "cells that are more than a module away", False, _solar_cells
    ),
    "stamps": BenchmarkSet(
        TOOLS, "the same drawings on other background photos", False, stamp_split
    ),
}  # fmt: skip


def _shuffled(photos: list[Photo], random: np.random.Generator) -> list[Photo]:
    return [photos[index] for index in random.permutation(len(photos))]


def _idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: a magic number with the number of dimensions, the dimensions, the values."""
    data = gzip.decompress(path.read_bytes())
    dimensions = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(dimensions)


def _encoded(extension: str, pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(extension, pixels)[1].tobytes()
