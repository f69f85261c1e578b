"""Photos that a browser sends: single files and zips, checked before anything is kept.

A file arrives in a hidden file of the studio's folder. Only what can be decoded as a photo gets a place in a class,
under a name of its own, so that nothing is overwritten and no name from a zip or a browser is used as a path.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgenet_device.frames.photos import MAX_BYTES, read_photo, readable_suffixes
from edgenet_device.output_files import write_atomically

from edgenet.data.file_account import is_photo_like, why_unreadable
from edgenet.data.photos import open_photos
from edgenet.errors import EdgenetError, one_line
from edgenet.studio_app.looks import Looks
from edgenet.studio_app.places import SPARE_BYTES, Places, StorageError, free_space

LARGEST_PHOTO = MAX_BYTES
LARGEST_ZIP = 2 << 30
_LONGEST_STEM = 100
_MOST_REFUSALS = 200
_naming = threading.Lock()


@dataclass(frozen=True)
class Taken:
    """What became of a file that was sent.

    Attributes:
        added: (class, name) of every photo that was kept.
        refused: (name, reason) of every file that is no readable photo, at most 200 of them.
    """

    added: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]


def check_size(places: Places, name: str, size: int) -> None:
    """Check that a file of this size may come.

    Raises:
        StorageError: the disk has no room for it, or the folder is gone.
        EdgenetError: it is larger than its kind may be.
    """
    most = LARGEST_ZIP if _is_zip(name) else LARGEST_PHOTO
    if size > most:
        raise EdgenetError(f"{one_line(name)} is larger than {most >> 20} MiB", "send a smaller file")
    if trouble := places.trouble():
        raise trouble
    if free_space(places.root) < size + SPARE_BYTES:
        raise StorageError(f"the disk of {places.root} is full", "free some space there")


def take_file(places: Places, looks: Looks, label: str, name: str, file: Path) -> Taken:
    """Keep the photo, or the photos of the zip, that a browser has sent.

    Args:
        label: the class to put it into, which is made if it is missing; "" for a zip that holds class folders.
        name: the file's name as the browser gave it.
        file: the hidden file with its contents.

    Raises:
        StorageError: a photo cannot be written.
        EdgenetError: it is a zip that cannot be opened or has no classes.
    """
    if _is_zip(name):
        return _take_zip(places, looks, label, name, file)
    if not label:
        raise EdgenetError("a photo was sent without a class", "drop it on a class")
    fault = _take_photo(places, looks, label, name, file.read_bytes())
    if isinstance(fault, str):
        return Taken((), ((one_line(name), fault),))
    return Taken((fault,), ())


def _take_zip(places: Places, looks: Looks, label: str, name: str, file: Path) -> Taken:
    try:
        photos = open_photos(file)
    except EdgenetError as error:
        found = error.found.replace(str(file), one_line(name))
        raise EdgenetError(found, error.remedy.replace(str(file), one_line(name))) from None
    if not label and not photos.class_names:
        raise EdgenetError(f"{one_line(name)} has no class folders", "drop it on a class")
    added: list[tuple[str, str]] = []
    refused = list(photos.found.unreadable)
    for index, (inside, given) in enumerate(zip(photos.names, photos.labels, strict=True)):
        target = label or (photos.class_names[given] if given is not None else "")
        try:
            kept = _take_photo(places, looks, target, inside, photos.read_bytes(index))
        except StorageError:
            raise
        except EdgenetError as error:
            kept = error.found
        added.append(kept) if isinstance(kept, tuple) else refused.append((one_line(inside), kept))
    return Taken(tuple(added), tuple(refused[:_MOST_REFUSALS]))


def _take_photo(places: Places, looks: Looks, label: str, name: str, data: bytes) -> tuple[str, str] | str:
    """Keep a photo, and return its class and name; or return the reason why it cannot be read."""
    if not is_photo_like(name):
        return "its name does not end like that of a photo"
    if reason := why_unreadable(name):
        return reason
    try:
        pixels = read_photo(data, one_line(PurePosixPath(name).name))
    except EdgenetError as error:
        return one_line(str(error), 300)
    folder = places.new_class(label)
    path = free_place(folder, plain_name(name))
    try:
        write_atomically(path, data)
    except EdgenetError as error:
        with suppress(OSError):
            path.unlink()  # the place that was taken for it
        raise StorageError(error.found, error.remedy) from None
    looks.learn(path, pixels)
    return label, path.name


def free_place(folder: Path, name: str) -> Path:
    """Return a new, empty file in a folder, whose name is this one or a longer one.

    Raises:
        StorageError: it cannot be made.
    """
    with _naming:  # threads of one upload would try the same numbers
        for candidate in _candidates(name):
            path = folder / candidate
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
                return path
            except FileExistsError:
                continue
            except OSError as error:
                raise StorageError(
                    f"cannot write into {folder}: {error.strerror}", "check the folder and its permissions"
                ) from None
    raise AssertionError("there is always a next number")


def _candidates(name: str) -> Iterator[str]:
    yield name
    stem, suffix = os.path.splitext(name)
    number = 2
    while True:
        yield f"{stem} ({number}){suffix}"
        number += 1


def plain_name(name: str) -> str:
    """Return the name of a file as it can be stored anywhere: no folders, no control characters, not too long."""
    last = PurePosixPath(name.replace("\\", "/")).name
    stem, suffix = os.path.splitext(last)
    if suffix.lower() not in readable_suffixes():
        stem, suffix = last, ".jpg"
    plain = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in stem).strip(" .-")
    while len(os.fsencode(plain)) > _LONGEST_STEM:
        plain = plain[:-1]
    return f"{plain or 'photo'}{suffix}"


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")
