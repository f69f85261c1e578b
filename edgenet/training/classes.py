"""What is told, or refused, about the numbers of photos in the classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenet.errors import EdgenetError

UNEQUAL = 3.0
"""From this ratio of the largest class to the smallest on, a training says so."""


def photo_counts(labels: np.ndarray, classes: int) -> tuple[int, ...]:
    """How many photos every class has."""
    return tuple(int(n) for n in np.bincount(labels, minlength=classes))


def check_counts(counts: Sequence[int], names: Sequence[str], unreadable: Sequence[str], least: int) -> None:
    """Refuses classes with too few photos.

    Args:
        names: of the classes, which are also the folders.
        unreadable: the names of the photos that could not be read.
        least: how many a class needs.

    Raises:
        EdgenetError: a class has fewer.
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
    """A sentence about classes of very different sizes, None where they are not."""
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] < UNEQUAL * counts[least]:
        return None
    found = (
        f"the classes are unequal: {counts[most]} photos of {names[most]}, {counts[least]} of {names[least]}"
    )
    if balanced:
        return f"{found}; every class is shown equally often"
    return f"{found}; the network will favour the large ones (--balance shows every class equally often)"
