"""Checks of the number of photos per class: errors for too few, a warning for very unequal classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenet.errors import EdgenetError

UNEQUAL = 3.0
"""A training warns if the largest class has at least this many times the photos of the smallest."""


def photo_counts(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """Return the number of photos of each class.

    Args:
        labels: the class index of every photo, int64 [n].
        classes: the number of classes.
    """
    return tuple(int(n) for n in np.bincount(labels, minlength=classes))


def check_counts(counts: Sequence[int], names: Sequence[str], unreadable: Sequence[str], least: int) -> None:
    """Check that every class has enough photos.

    Args:
        counts: the number of readable photos of each class.
        names: the class names, which are also the names of the folders.
        unreadable: the names of the photos that could not be read.
        least: the number of photos that each class needs.

    Raises:
        EdgenetError: a class has fewer than `least` photos.
    """
    for count, name in zip(counts, names, strict=True):
        if count < least:
            lost = sum(photo.startswith(f"{name}/") for photo in unreadable)
            found = "has no photo" if count == 0 else f"has only {count} photo{'s' * (count != 1)}"
            because = f" that can be read ({lost} cannot)" if lost else ""
            why = "one to train with and one to validate with" if least == 2 else "to train with"
            raise EdgenetError(
                f"the class {name} {found}{because}",
                f"a class needs at least {least}, {why}; a hundred is a good beginning",
            )


def imbalance(counts: Sequence[int], names: Sequence[str], balanced: bool) -> str | None:
    """Return a warning if the class sizes are very unequal (see `UNEQUAL`), else None.

    Args:
        counts: the number of photos of each class.
        names: the class names.
        balanced: whether the training shows every class equally often.
    """
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] < UNEQUAL * counts[least]:
        return None
    found = (
        f"the classes are unequal: {counts[most]} photos of {names[most]}, {counts[least]} of {names[least]}"
    )
    if balanced:
        return f"{found}; every class is shown equally often"
    return f"{found}; the network will favour the large ones (--balance shows every class equally often)"
