"""Sets of photos, labelled or not. They are found in a folder or a zip without decoding any photo.

These layouts are accepted, as a folder or as a zip, with or without one enclosing folder:

- photos directly in the folder, possibly with subfolders beside them: the set is unlabelled;
- one folder per class (the layout of torchvision's ImageFolder): the classes are ordered by name;
- either of these inside `train`, `val` or `test` folders: one of them is chosen;
- photos and a `labels.csv` with the columns file, class_index and optionally name: only the listed photos are used.

Nothing here writes files. The members of a zip exist only as bytes in memory, so a name like `../x` is harmless.
"""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
from edgenet_device.frames.photos import MAX_BYTES, PHOTO_SUFFIXES, read_photo

from edgenet.data.labels import LABELS_CSV, read_labels_csv
from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP


@dataclass(frozen=True)
class PhotoSet:
    """An ordered set of photos; `open_photos` orders them by name.

    Attributes:
        origin: the path that the user gave, for messages.
        names: the unique name of every photo, with forward slashes.
        labels: the class index of every photo; None for a photo without a label.
        class_names: the class names by class index; "" for unknown names; empty for an unlabelled set.
        split: the split folder that was chosen, or None.
    """

    origin: str
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    class_names: tuple[str, ...]
    split: str | None
    _files: Files
    _prefix: str

    def __len__(self) -> int:
        return len(self.names)

    def read_bytes(self, index: int) -> bytes:
        """Return the undecoded bytes of one photo's file.

        Raises:
            EdgenetError: the file cannot be read.
        """
        return self._files.read(self._prefix + self.names[index])

    def read(self, index: int) -> np.ndarray:
        """Read and decode one photo.

        Returns:
            uint8 BGR [height, width, 3].

        Raises:
            EdgenetError: the file cannot be read or is not a complete photo.
        """
        return read_photo(self.read_bytes(index), self.names[index])

    def take(self, indices: Sequence[int]) -> PhotoSet:
        """Return the photos at these indices, in this order."""
        return replace(
            self,
            names=tuple(self.names[i] for i in indices),
            labels=tuple(self.labels[i] for i in indices),
        )


def open_photos(path: Path | str, *, split: str | None = None) -> PhotoSet:
    """Find the photos in a folder or a zip, without decoding them.

    The photos lie directly in the folder (an unlabelled set), or in one folder per class; either of these may be
    inside `train`, `val` or `test` folders. Or a `labels.csv` with the columns file, class_index and optionally name
    lists them.

    >>> photos = edgenet.open_photos("labelled")
    >>> len(photos), photos.class_names
    (12, ('daisy', 'rose', 'tulip'))

    Args:
        path: a folder or a zip.
        split: the name of the split folder to use; required if there are several.

    Raises:
        EdgenetError: `path` does not exist, is neither a folder nor a zip, or has no photos; a split must be chosen or
            the chosen one does not exist; a class folder has no photos; or `labels.csv` is not valid.
    """
    origin, files = str(path), open_files(Path(path))
    # Sorting compares code points and ignores the locale, so the order is the same on every machine.
    all_names = sorted(files.names())
    prefix = _outer_folder(all_names, files)
    prefix, chosen = _choose_split(all_names, prefix, split, origin)
    names = [name[len(prefix) :] for name in all_names if name.startswith(prefix)]
    photos = [name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
    if not photos:
        raise _no_photos(origin, names)
    labels: Sequence[int | None]
    if LABELS_CSV in names:
        where = f"{prefix}{LABELS_CSV} in {origin}"
        photos, labels, class_names = read_labels_csv(files.read(prefix + LABELS_CSV), photos, where)
    else:
        labels, class_names = _labels_from_folders(names, photos, origin)
    return PhotoSet(origin, tuple(photos), tuple(labels), tuple(class_names), chosen, files, prefix)


def split_folders(path: Path | str) -> tuple[str, ...]:
    """Return the split folders in a folder or a zip, ordered by name; empty if there are none.

    Raises:
        EdgenetError: `path` does not exist, or it is neither a folder nor a zip.
    """
    files = open_files(Path(path))
    names = files.names()
    return tuple(_splits(names, _outer_folder(names, files)))


SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def _outer_folder(names: list[str], files: Files) -> str:
    """Return the folder that encloses everything, as "name/", or "" if there is none.

    In a folder that the user gave, a single subfolder of photos is a class. In a zip, a single folder is the folder
    that was zipped.
    """
    tops = {name.split("/")[0] for name in names}
    if len(tops) != 1 or not all("/" in name for name in names):
        return ""
    (top,) = tops
    inside = [name[len(top) + 1 :] for name in names]
    deeper = LABELS_CSV in inside or any("/" in name for name in inside)
    is_archive = isinstance(files, ZipFiles)
    if top.lower() in SPLITS or not (deeper or is_archive):
        return ""
    return f"{top}/"


def _choose_split(names: list[str], prefix: str, split: str | None, origin: str) -> tuple[str, str | None]:
    """Return the prefix of the photos to use and the split's name, or the given prefix and None without splits."""
    splits = _splits(names, prefix)
    if split is None and len(splits) > 1:
        raise EdgenetError(f"{origin} has the splits {', '.join(splits)}", "choose one of them")
    if split is None:
        return (f"{prefix}{splits[0]}/", splits[0]) if splits else (prefix, None)
    if not splits:
        raise EdgenetError(
            f"{origin} has no split folders, so there is no split '{split}'", "do not name a split"
        )
    if split not in splits:
        raise EdgenetError(f"{origin} has no split '{split}'", f"choose one of {', '.join(splits)}")
    return f"{prefix}{split}/", split


def _splits(names: list[str], prefix: str) -> list[str]:
    photos = [n for n in names if n.startswith(prefix) and PurePosixPath(n).suffix.lower() in PHOTO_SUFFIXES]
    tops = sorted({n[len(prefix) :].split("/")[0] for n in photos})
    return tops if tops and all(top.lower() in SPLITS for top in tops) else []


def _labels_from_folders(
    names: list[str], photos: list[str], origin: str
) -> tuple[list[int | None], tuple[str, ...]]:
    """Return labels and class names from the folders; the set is unlabelled if any photo is not in a folder."""
    if not all("/" in photo for photo in photos):
        return [None] * len(photos), ()
    used = {photo.split("/")[0] for photo in photos}
    empty = sorted({name.split("/")[0] for name in names if "/" in name} - used)
    if empty:  # without it, the indices of all later classes would shift
        raise EdgenetError(f"the class folder {empty[0]} in {origin} holds no photos", "fill it or remove it")
    class_names = tuple(sorted(used))
    index = {name: number for number, name in enumerate(class_names)}
    return [index[photo.split("/")[0]] for photo in photos], class_names


def _no_photos(origin: str, names: list[str]) -> EdgenetError:
    files = [name for name in names if not name.endswith("/")]
    instead = f"{len(files)} other files, such as {files[0]}" if files else "it is empty"
    return EdgenetError(f"no photos in {origin} ({instead})", "put JPEG or PNG files there")


class Files(Protocol):
    """A collection of files by name. Names are relative paths with forward slashes."""

    def names(self) -> list[str]:
        """Return every file that is not hidden, in any order; an empty folder is listed with a final slash."""

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""


def open_files(path: Path) -> Files:
    """Return the files in the folder or zip at `path`.

    Raises:
        EdgenetError: `path` does not exist, or it is neither a folder nor a zip.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise EdgenetError(f"{path} does not exist", "give a folder of photos or a zip of one")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise EdgenetError(
            f"{path} is neither a folder nor a zip",
            "give a folder of photos, or unpack the file and give its folder",
        )
    return ZipFiles(path)


@dataclass(frozen=True)
class FolderFiles:
    """The files in a folder and its subfolders. Links to folders are followed, but each folder is read only once."""

    root: Path

    def names(self) -> list[str]:
        """Return the paths below the root; an empty folder is listed with a final slash."""
        names: list[str] = []
        visited: set[Path] = set()
        for place, folders, files in os.walk(self.root, onerror=_cannot_list, followlinks=True):
            here = Path(place).resolve()
            if here in visited:  # a link back to a parent would be followed for ever
                folders.clear()
                continue
            visited.add(here)
            folders[:] = [name for name in folders if not _hidden(name)]
            relative = Path(place).relative_to(self.root)
            names += [(relative / name).as_posix() for name in files if not _hidden(name)]
            if not files and not folders and relative.parts:
                names.append(relative.as_posix() + "/")
        return names

    def read(self, name: str) -> bytes:
        """Return the bytes of one file.

        Raises:
            EdgenetError: it is missing, not a regular file, too large, or cannot be read.
        """
        path = self.root / name
        try:
            if not path.is_file():  # a pipe or a device could be read for ever
                raise EdgenetError(f"{path} is gone or is not a regular file", "check the folder")
            if path.stat().st_size > MAX_BYTES:
                raise EdgenetError(
                    f"{path} is larger than {MAX_BYTES >> 30} GiB", "remove it from the photos"
                )
            return path.read_bytes()
        except OSError as error:
            raise EdgenetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


@dataclass(frozen=True)
class ZipFiles:
    """The members of a zip. It can be sent to other processes: each process opens the zip anew."""

    path: Path
    _archive: _ZipPerProcess = field(default_factory=lambda: _ZipPerProcess(), compare=False, repr=False)

    def names(self) -> list[str]:
        """Return the paths in the zip."""
        # A zip may hold a name twice; reading returns the last one.
        members = set(self._archive.get(self.path).namelist())
        return [name for name in members if not any(_hidden(part) for part in PurePosixPath(name).parts)]

    def read(self, name: str) -> bytes:
        """Return the bytes of one member.

        Raises:
            EdgenetError: the member is missing, too large, or cannot be unpacked.
        """
        try:
            archive = self._archive.get(self.path)
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise EdgenetError(
                    f"{name} in {self.path} is larger than {MAX_BYTES >> 30} GiB", "remove it from the photos"
                )
            return archive.read(name)
        except UNREADABLE_ZIP as error:
            raise EdgenetError(
                f"{name} in {self.path} cannot be unpacked: {error}", "zip it again"
            ) from error


class _ZipPerProcess:
    """Keeps one open zip per process, because processes that share a handle after a fork share its file position."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def get(self, path: Path) -> zipfile.ZipFile:
        with self._lock:
            if self._open is None or self._open[0] != os.getpid():
                self._open = os.getpid(), _open_zip(path)
            return self._open[1]

    def __reduce__(self) -> tuple[type[_ZipPerProcess], tuple[()]]:
        return _ZipPerProcess, ()


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{path} cannot be opened as a zip: {error}", "copy or zip it again") from error


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name == "__MACOSX"


def _cannot_list(error: OSError) -> None:
    raise EdgenetError(f"cannot list {error.filename}: {error.strerror}", "check its permissions") from error
