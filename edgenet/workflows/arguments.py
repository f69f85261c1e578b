"""The arguments of edgenet's Python functions: checks of their types, and every form of photos and labels.

A wrong argument raises an error of one sentence, which says what was given and what is wanted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, wraps
from inspect import signature
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin, get_type_hints

import cv2
import numpy as np
from edgenet_device.foreign_text import one_line
from numpy.typing import NDArray

from edgenet.assets import calibration_photos
from edgenet.data.file_account import NO_FILES
from edgenet.data.labels import labels_text, parse_labels
from edgenet.data.photos import PhotoSet, open_photos
from edgenet.errors import EdgenetError
from edgenet.files import read_limited

BUILTIN = "builtin"
"""The name of the calibration photos that come with edgenet."""
Photos = str | Path | NDArray[np.uint8] | Sequence[NDArray[np.uint8]] | PhotoSet
"""Photos: a folder or zip, "builtin", uint8 RGB arrays [height, width, 3], or an opened photo set."""
Given = ParamSpec("Given")
Result = TypeVar("Result")


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Return the function with a check of its arguments' types, made from its annotations, before each call.

    The returned function raises a TypeError that names the argument, what was given, and what it takes. A path with a
    zero byte, or with a name that is too long for the file system, becomes an EdgenetError.
    """

    @wraps(function)
    def call(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            arguments = signature(function).bind(*args, **kwargs).arguments
        except TypeError:  # too few or too many arguments: Python's own error is better
            return function(*args, **kwargs)
        hints = _hints(function)
        for name, value in arguments.items():
            _check(f"edgenet.{function.__name__}", name, value, hints[name])
            _refuse_zero_bytes(f"edgenet.{function.__name__}", name, value)
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise EdgenetError(
                f"the name {one_line(str(error.filename))[:60]}... is too long for a file", "check the path"
            ) from error

    return call


def check_fields(options: Any) -> None:
    """Check the types of all fields of a dataclass of options.

    Raises:
        TypeError: a field has another type than its annotation; the message names it.
    """
    kind: Callable[..., Any] = type(options)
    for item in fields(options):
        _check(f"edgenet.{kind.__name__}", item.name, getattr(options, item.name), _hints(kind)[item.name])


@cache
def _hints(where: Callable[..., Any]) -> dict[str, Any]:
    return get_type_hints(where)


def _check(where: str, name: str, value: object, hint: Any) -> None:
    if not _fits(value, hint):
        raise TypeError(f"{where} got {name}={describe(value)}, and {name} must be {_words(hint)}")


def _refuse_zero_bytes(where: str, name: str, value: object) -> None:
    """Raise an EdgenetError if a text, or one in a list, has a zero byte: no file, option or address can have one."""
    for text in value if isinstance(value, list | tuple) else (value,):
        if isinstance(text, str | os.PathLike) and "\0" in os.fsdecode(text):
            raise EdgenetError(f"{where} got {name}={describe(value)} with a zero byte", "leave it out")


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value has the annotated type, with numpy's numbers as numbers and any path as a Path."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, choice) for choice in get_args(hint))
    if origin is Sequence or origin is tuple:
        item = get_args(hint)[0]
        return isinstance(value, list | tuple) and all(_fits(one, item) for one in value)
    if origin is not None:  # a callable, or an array
        return callable(value) if origin is Callable else isinstance(value, origin)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return isinstance(value, os.PathLike if hint is Path else hint)


def _words(hint: Any) -> str:
    """Describe an annotated type, such as "str, Path or None"."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        *most, last = dict.fromkeys(_words(choice) for choice in get_args(hint))
        return f"{', '.join(most)} or {last}"
    if origin is Sequence or origin is tuple:
        return f"a list of {_words(get_args(hint)[0])}"
    if origin is Callable:
        return "a function"
    if hint is NoneType:
        return "None"
    return "a numpy array" if origin is np.ndarray else getattr(hint, "__name__", str(hint))


def describe(value: object) -> str:
    """Describe a wrong value shortly, for an error: an array by its type and shape, others by how they print."""
    if isinstance(value, np.ndarray):
        return f"an array {value.dtype} {list(value.shape)}"
    text = " ".join(repr(value).split())
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{short} ({type(value).__name__})"


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
