"""Splits the photos into training and validation: by the data's split folders, else by holding out some per class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.data import PhotoSet, open_photos, split_folders
from edgenet.errors import EdgenetError

TRAINING = ("train", "training")
VALIDATION = ("val", "valid", "validation", "test", "testing")
"""In order of preference: a test split is used only if there is no validation split."""


@dataclass(frozen=True)
class Opened:
    """The photos of a training.

    Attributes:
        training: the photos to train with. If `validation` is None, some of them must be held out.
        validation: the data's own validation split; None if there is none.
    """

    training: PhotoSet
    validation: PhotoSet | None


def open_training_data(path: Path) -> Opened:
    """Open the labelled photos in a folder or a zip.

    Raises:
        EdgenetError: there are no class folders or only one class, no split is for training, or the classes of the
            splits differ.
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
    """Return the indices to train with and the indices held out, both rising.

    The same share of every class is held out, at least one photo. The choice depends on the photos' contents and the
    seed, not on their names. Copies of a photo within a class all land on the same side. If a class has only copies of
    one photo, none is held out.

    Args:
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        share: the share of each class to hold out, between 0 and 1.
        seed: the seed of the training.

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
    for group in list(groups.values())[:-1]:  # keep the last photo for training
        if len(held) >= wanted:
            break
        held.update(group)
    return held


def _labelled(path: Path, split: str | None) -> PhotoSet:
    photos = open_photos(path, split=split)
    if any(label is None for label in photos.labels):
        raise EdgenetError(
            f"the photos in {path} have no labels", "put the photos of each class into a folder of its own"
        )
    if len(set(photos.labels)) < 2:
        raise EdgenetError(f"{path} has only one class", "give a folder for each of at least two classes")
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
