"""Checks that a set of photos can be learned from, or measured on: its labels, its names and its contents."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np

from edgenet.data.labelling import GIVE_CLASSES
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError, one_line

ALIKE = 6.0
"""Photos of different things differ more than this from their mean, in steps of 255; noise and dust cause less."""


def require_labels(photos: PhotoSet, remedy: str = GIVE_CLASSES) -> None:
    """Check that every photo has a class, and that the class names can be written to a labels file.

    Args:
        photos: the photos.
        remedy: what to do if they have no classes and it is not known why.

    Raises:
        EdgenetError: some photos have no class, the name of a class has blanks around it, control characters or no
            Unicode spelling, or a class folder lies inside the folder of another class.
    """
    if any(label is None for label in photos.labels):
        why, own_remedy = photos.why_unlabelled
        because = f": {why}" if why else ""
        raise EdgenetError(f"the photos in {photos.origin} have no labels{because}", own_remedy or remedy)
    for name in photos.class_names:
        _check_class_name(name, photos.origin)
    _check_nesting(photos)


def _check_class_name(name: str, origin: str) -> None:
    categories = {unicodedata.category(character) for character in name}
    problem = None
    if name != name.strip():
        problem = "begins or ends with a blank"
    elif "Cc" in categories:
        problem = "has a control character"
    elif "Cs" in categories:
        problem = "is not written in UTF-8"
    if problem:
        raise EdgenetError(f"the name of the class '{_shown(name)}' in {origin} {problem}", "rename it")


def _shown(name: str) -> str:
    return one_line(name.encode("utf-8", "replace").decode())


def _check_nesting(photos: PhotoSet) -> None:
    """Check that no class folder has a subfolder with the name of another class."""
    classes = {name.casefold(): name for name in photos.class_names}
    for photo, label in zip(photos.names, photos.labels, strict=True):
        parts = photo.split("/")
        inner = classes.get(parts[1].casefold()) if len(parts) > 2 else None
        own = photos.class_names[label] if label is not None else ""
        if inner is not None and own == unicodedata.normalize("NFC", parts[0]) and inner != own:
            raise EdgenetError(
                f"the folder {one_line('/'.join(parts[:2]))} in {photos.origin} lies inside the class {one_line(own)} "
                f"and has the name of the class {one_line(inner)}",
                f"move its photos into the folder {one_line(inner)}",
            )


def two_labels_warning(
    names: Sequence[str], labels: Sequence[int], contents: Sequence[bytes | str], class_names: Sequence[str]
) -> str | None:
    """Return a warning that names two files of the same contents in different classes, or None if there are none.

    Args:
        names: the name of every photo.
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        class_names: the class names by index.
    """
    first: dict[bytes | str, int] = {}
    pairs: list[tuple[int, int]] = []
    for index, content in enumerate(contents):
        other = first.setdefault(content, index)
        if labels[other] != labels[index]:
            pairs.append((other, index))
    if not pairs:
        return None
    one, two = (f"{one_line(names[i])} ({one_line(class_names[labels[i]])})" for i in pairs[0])
    more = f", and {len(pairs) - 1} more photos likewise" if len(pairs) > 1 else ""
    return f"the same photo has two labels: {one} and {two}{more}; keep one of each, in its right class"


def same_photo_warnings(
    labels: Sequence[int], contents: Sequence[bytes | str], class_names: Sequence[str]
) -> tuple[str, ...]:
    """Return a warning for each class of two photos or more whose files are all copies of one, at most five.

    Args:
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        class_names: the class names by index.
    """
    by_class: dict[int, list[bytes | str]] = {}
    for label, content in zip(labels, contents, strict=True):
        by_class.setdefault(label, []).append(content)
    return tuple(
        f"all {len(own)} photos of {one_line(class_names[label])} are copies of one photo; add different ones"
        for label, own in sorted(by_class.items())
        if len(own) > 1 and len(set(own)) == 1
    )[:5]


def alike_warning(thumbnails: np.ndarray) -> str | None:
    """Return a warning if all photos look nearly the same, or None.

    Args:
        thumbnails: the photos reduced to the same small size, uint8 [n, height, width, 3].
    """
    if len(thumbnails) < 2:
        return None
    values = thumbnails.astype(np.float32)
    if float(np.abs(values - values.mean(axis=0)).mean()) >= ALIKE:
        return None
    return (
        f"all {len(thumbnails)} photos look nearly the same, so nothing can be learned that tells them apart; "
        "check that the right folder was given"
    )
