"""Which photos train and which validate: the data's own split folders, else a share that is held out of every class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.data import PhotoSet, open_photos, split_folders
from edgenet.errors import EdgenetError

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test", "testing")
"""In the order of preference: a test part is only used where there is nothing else to validate with."""


@dataclass(frozen=True)
class Opened:
    """The photos of a training.

    Attributes:
        training: those to train with, and those to hold out where `validation` is None.
        validation: the data's own validation part.
    """

    training: PhotoSet
    validation: PhotoSet | None


def open_training_data(path: Path) -> Opened:
    """Opens the labelled photos in a folder or a zip.

    Raises:
        EdgenetError: no class folders, a single class, splits without one to train with, or splits of
            other classes.
    """
    folders = split_folders(path)
    training_part = _first(folders, TRAINING)
    if folders and training_part is None:
        raise EdgenetError(
            f"{path} has the split {', '.join(folders)} and none to train with", "name that folder 'train'"
        )
    training = _labelled(path, training_part)
    part = _first(folders, VALIDATION)
    if part is None:
        return Opened(training, None)
    validation = _labelled(path, part)
    if validation.class_names != training.class_names:
        raise _other_classes(path, training, validation)
    return Opened(training, validation)


def hold_out(
    labels: Sequence[int], contents: Sequence[bytes], share: float, seed: int
) -> tuple[list[int], list[int]]:
    """Indices to train with and indices held out: of every class the same share, at least one photo each.

    The choice depends on the photos' contents and the seed, not on their names; a photo that is there several times is
    on one side only.

    Args:
        contents: a hash of every photo.

    Raises:
        EdgenetError: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise EdgenetError(f"the share to hold out is {share:g}", "give one between 0 and 1, such as 0.1")
    by_class: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        by_class.setdefault(label, []).append(index)
    held: set[int] = set()
    for members in by_class.values():
        held |= _held_of(members, contents, share, seed)
    kept = [index for index in range(len(labels)) if index not in held]
    return kept, sorted(held)


def _held_of(members: list[int], contents: Sequence[bytes], share: float, seed: int) -> set[int]:
    def key(index: int) -> bytes:
        return hashlib.sha256(seed.to_bytes(8, "little") + contents[index]).digest()

    groups: dict[bytes, list[int]] = {}
    for index in sorted(members, key=key):
        groups.setdefault(contents[index], []).append(index)
    wanted = max(1, round(share * len(members)))
    held: set[int] = set()
    for group in list(groups.values())[:-1]:  # the last one is left to train with
        if len(held) >= wanted:
            break
        held.update(group)
    return held


def _labelled(path: Path, split: str | None) -> PhotoSet:
    photos = open_photos(path, split=split)
    if any(label is None for label in photos.labels):
        raise EdgenetError(
            f"the photos in {path} have no labels", "put those of every class into a folder of its own"
        )
    if len(set(photos.labels)) < 2:
        raise EdgenetError(f"{path} has a single class", "give a folder for each of at least two classes")
    return photos


def _first(folders: Sequence[str], names: Sequence[str]) -> str | None:
    lower = {folder.lower(): folder for folder in folders}
    return next((lower[name] for name in names if name in lower), None)


def _other_classes(path: Path, training: PhotoSet, validation: PhotoSet) -> EdgenetError:
    ours, theirs = set(training.class_names), set(validation.class_names)
    lacking = [f"{name} is missing in {validation.split}" for name in sorted(ours - theirs)]
    lacking += [f"{name} is missing in {training.split}" for name in sorted(theirs - ours)]
    some = "; ".join(lacking[:3]) or "their numbers differ"
    return EdgenetError(
        f"the classes of {training.split} and {validation.split} in {path} differ: {some}",
        "give both the same class folders",
    )
