"""Photos that a browser sends: single files and zips, checked before anything is kept.

A file arrives in a hidden file of the studio's folder. Only what can be decoded as a photo gets a place in a class,
under a name of its own, so that nothing is overwritten and no name from a zip or a browser is used as a path.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
from collections.abc import Iterator, Sequence
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
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK)
# Windows cannot be asked to link a symbolic link itself.
_THE_LINK_ITSELF = {"follow_symlinks": False} if os.link in os.supports_follow_symlinks else {}


@dataclass(frozen=True)
class Taken:
    """What became of a file that was sent.

    Attributes:
        added: (class, name) of every photo that was kept.
        there: (class, name) of every photo that the class had already, under its name and byte for byte. A file that
            is sent again, because its answer was lost or its zip was kept in part, makes no second copies so.
        refused: (name, reason) of every file that is no readable photo, at most 200 of them.
    """

    added: tuple[tuple[str, str], ...] = ()
    there: tuple[tuple[str, str], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Kept:
    """A photo in a class, as (class, name); `new` is false if the class had it already."""

    photo: tuple[str, str]
    new: bool


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
    return _taken([(name, _take_photo(places, looks, label, name, file.read_bytes()))])


def _taken(results: Sequence[tuple[str, _Kept | str]], unreadable: Sequence[tuple[str, str]] = ()) -> Taken:
    """Sort what became of each file, given as (name, what was kept or why it is refused)."""
    kept = [one for _, one in results if isinstance(one, _Kept)]
    refused = [*unreadable, *((one_line(name), one) for name, one in results if isinstance(one, str))]
    return Taken(
        tuple(one.photo for one in kept if one.new),
        tuple(one.photo for one in kept if not one.new),
        tuple(refused[:_MOST_REFUSALS]),
    )


def _take_zip(places: Places, looks: Looks, label: str, name: str, file: Path) -> Taken:
    try:
        photos = open_photos(file)
    except EdgenetError as error:
        found = error.found.replace(str(file), one_line(name))
        raise EdgenetError(found, error.remedy.replace(str(file), one_line(name))) from None
    if not label and not photos.class_names:
        raise EdgenetError(f"{one_line(name)} has no class folders", "drop it on a class")
    results: list[tuple[str, _Kept | str]] = []
    for index, (inside, given) in enumerate(zip(photos.names, photos.labels, strict=True)):
        target = label or (photos.class_names[given] if given is not None else "")
        try:
            results.append((inside, _take_photo(places, looks, target, inside, photos.read_bytes(index))))
        except StorageError:
            raise
        except EdgenetError as error:
            results.append((inside, error.found))
    return _taken(results, photos.found.unreadable)


def _take_photo(places: Places, looks: Looks, label: str, name: str, data: bytes) -> _Kept | str:
    """Keep a photo; or return the reason why it cannot be read."""
    if not is_photo_like(name):
        return "its name does not end like that of a photo"
    if reason := why_unreadable(name):
        return reason
    try:
        pixels = read_photo(data, one_line(PurePosixPath(name).name))
    except EdgenetError as error:
        return one_line(str(error), 300)
    path, new = _write_new(places.new_class(label), plain_name(name), data)
    with suppress(OSError):  # the photo is kept, even if its folder goes away in this moment
        looks.learn(path, pixels)
    return _Kept((label, path.name), new)


def _write_new(folder: Path, name: str, data: bytes) -> tuple[Path, bool]:
    """Write a photo under this name or a longer one, unless it is there; return its path, and whether it is new.

    The photo gets its name once it is complete, so that no half photo is left when the folder goes away.

    Raises:
        StorageError: it cannot be written.
    """
    hidden = folder / f".edgenet-{secrets.token_hex(6)}.tmp"
    try:
        write_atomically(hidden, data)
        for path in names_like(folder, name):
            try:
                rename_to_free(hidden, path)
                return path, True
            except FileExistsError:
                if path.stat().st_size == len(data) and path.read_bytes() == data:
                    return path, False
    except OSError as error:
        reason = f"cannot write into {folder}: {error.strerror}"
        raise StorageError(reason, "check the folder and its permissions") from None
    except EdgenetError as error:
        raise StorageError(error.found, error.remedy) from None
    finally:
        with suppress(OSError):  # it has become the photo, or went away with its folder
            hidden.unlink()
    raise AssertionError("there is always a next number")


def rename_to_free(file: Path, path: Path) -> None:
    """Rename a file within its file system, but never over another one.

    A hard link fails where the name is taken. Without hard links (exFAT), an empty file takes the name first.

    Raises:
        FileExistsError: there is a file of this name.
        OSError: it cannot be renamed.
    """
    try:
        os.link(file, path, **_THE_LINK_ITSELF)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(file, path)
        except OSError:
            with suppress(OSError):  # the empty file, which is nobody's photo
                path.unlink()
            raise
    else:
        with suppress(OSError):  # its folder has just gone away: then it has two names there
            file.unlink()


def names_like(folder: Path, name: str) -> Iterator[Path]:
    """Yield the paths that a file of this name may get: its own, then longer ones, without end."""
    yield folder / name
    stem, suffix = os.path.splitext(name)
    for number in itertools.count(2):
        yield folder / f"{stem} ({number}){suffix}"


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
