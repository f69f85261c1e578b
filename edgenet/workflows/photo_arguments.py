"""The forms in which edgenet's Python functions take photos and labels: folders, zips, arrays, lists and text files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenet.assets import calibration_photos
from edgenet.data.file_account import NO_FILES
from edgenet.data.labels import labels_text, parse_labels
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.files import read_limited
from edgenet.workflows.arguments import describe

BUILTIN = "builtin"
"""The name of the calibration photos that come with edgenet."""
Photos = str | Path | NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | PhotoSet
"""Photos: a folder or zip, "builtin", uint8 RGB arrays [height, width, 3], or an opened photo set."""


def check_rgb(value: object, name: str) -> NDArray[np.uint8]:
    """Return a value that is a photo as an array.

    Args:
        value: what the user gave.
        name: what error messages call it.

    Raises:
        TypeError: the value is not an array.
        EdgenetError: the array is not uint8 [height, width, 3], or it is empty.
    """
    if not isinstance(value, np.ndarray):
        raise TypeError(
            f"{name} is {describe(value)}, and a photo must be a uint8 RGB array [height, width, 3]"
        )
    if value.dtype != np.uint8 or value.ndim != 3 or value.shape[2] != 3 or not value.size:
        raise EdgenetError(
            f"{name} is {describe(value)}", "give each photo as a uint8 RGB array [height, width, 3]"
        )
    return value


def as_photo_set(photos: Photos, name: str) -> PhotoSet:
    """Return the photos in any form as one set.

    Args:
        photos: see `Photos`.
        name: the argument's name, for error messages.

    Raises:
        EdgenetError: there are no photos, an array is not a photo, or the folder or zip cannot be used.
        TypeError: an item of a list is not an array.
    """
    if isinstance(photos, PhotoSet):
        return photos
    if isinstance(photos, str | os.PathLike):
        if os.fspath(photos) == BUILTIN:
            # Nobody needs an account of the files that come with edgenet.
            return replace(open_photos(calibration_photos()), found=NO_FILES)
        return open_photos(photos)
    if len(photos) == 0:
        raise EdgenetError(f"{name} is an empty list", "give at least one photo")
    if isinstance(photos, np.ndarray) and photos.ndim == 3:
        raise EdgenetError(f"{name} is a single photo, {describe(photos)}", "give a list of photos")
    files = ArrayFiles({f"{i:06}.png": check_rgb(photo, f"{name}[{i}]") for i, photo in enumerate(photos)})
    names = tuple(files.names())
    return PhotoSet(f"{len(names)} arrays", names, (None,) * len(names), (), None, files, "")


@dataclass(frozen=True)
class ArrayFiles:
    """Photos in memory, read as if each were a PNG file; so a set of arrays equals a folder of the same photos."""

    arrays: dict[str, NDArray[np.uint8]] = field(repr=False)

    def names(self) -> list[str]:
        """Return the photos' names, in the order in which they were given."""
        return list(self.arrays)

    def hidden(self) -> int:
        """Return the number of hidden files."""
        return 0

    def read(self, name: str, most: int = 0) -> bytes:
        """Return a photo as the bytes of a PNG file."""
        bgr = cv2.cvtColor(self.arrays[name], cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", bgr)[1].tobytes()


def label_names(labels: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the class names that a user gave as a list, or as a text file with one name per line.

    Raises:
        EdgenetError: the list is empty, a name is not one (see `labels_text`), or the file cannot be read (see
            `parse_labels`).
    """
    if not isinstance(labels, str | os.PathLike):
        if not labels:
            raise EdgenetError("labels is an empty list", "give one name per class")
        labels_text(labels)
        return tuple(labels)
    path = Path(labels)
    try:
        data = read_limited(path)
    except OSError as error:
        raise EdgenetError(f"cannot read the labels {path}: {error.strerror}", "check the path") from None
    return tuple(parse_labels(data, str(path)))
