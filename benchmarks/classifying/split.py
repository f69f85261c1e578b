"""A split into training and judged photos, by origin, and the folders that a method of teaching gets."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np


@dataclass(frozen=True)
class Photo:
    """A photo of a benchmark set.

    Attributes:
        label: its class index.
        name: its name in the set.
        origin: the scene, student or source photo that it was taken of.
    """

    label: int
    name: str
    origin: str


@dataclass(frozen=True)
class Split:
    """Training and judged photos that have no origin in common.

    Attributes:
        training: all training photos; the first N of each class are the training set of N photos a class.
        judged: the judged photos.
        read: returns the bytes of a photo's file.
    """

    training: list[Photo]
    judged: list[Photo]
    read: Callable[[Photo], bytes]


def apart(
    photos: Sequence[Photo],
    numbers: Sequence[int],
    *,
    stretch: int,
    gap: int,
    share: float,
    random: np.random.Generator,
) -> tuple[list[Photo], list[Photo]]:
    """Split numbered photos, neighbours of which may show the same thing; return (training, judged), both shuffled.

    Args:
        photos: the photos.
        numbers: their numbers.
        stretch: numbers in a stretch; a stretch is judged in whole or not at all.
        gap: training photos are more than this far from every judged number.
        share: the share of the stretches that is judged.
        random: chooses the stretches and the order.
    """
    place = np.asarray(numbers)
    stretches = np.unique(place // stretch)
    chosen = random.choice(stretches, max(1, round(share * len(stretches))), replace=False)
    inside = np.isin(place // stretch, chosen)
    near = np.abs(place[:, None] - place[inside][None, :]).min(axis=1) <= gap
    order = random.permutation(len(photos))
    training = [photos[index] for index in order if not near[index]]
    return training, [photos[index] for index in order if inside[index]]


def limited(photos: Sequence[Photo], most: int) -> list[Photo]:
    """Return the first `most` photos of each class."""
    seen: Counter[int] = Counter()
    kept = []
    for photo in photos:
        seen[photo.label] += 1
        if seen[photo.label] <= most:
            kept.append(photo)
    return kept


def sizes_of(split: Split, sizes: Sequence[int]) -> list[int]:
    """Return the sizes that differ: larger ones are left out once the training photos of every class are used up."""
    most = max(Counter(photo.label for photo in split.training).values())
    return [size for place, size in enumerate(sizes) if place == 0 or sizes[place - 1] < most]


def write_folder(
    folder: Path, photos: Sequence[Photo], classes: Sequence[str], read: Callable[[Photo], bytes]
) -> Path:
    """Write the photos as a folder of class folders, unless it is there; return the folder."""
    if not folder.is_dir():
        unfinished = folder.with_name(f"{folder.name}.unfinished.{os.getpid()}")
        shutil.rmtree(unfinished, ignore_errors=True)
        for photo in photos:
            path = unfinished / classes[photo.label] / PurePosixPath(photo.name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(read(photo))
        unfinished.rename(folder)
    return folder
