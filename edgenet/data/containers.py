"""Folders and zips as collections of files: their names, and the bytes of each file.

Nothing here writes files. The members of a zip exist only as bytes in memory, so a name like `../x` is harmless.
"""

from __future__ import annotations

import os
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgenet_device.frames.photos import MAX_BYTES

from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP, check_unpacked_size


class Files(Protocol):
    """A collection of files by name. Names are relative paths with forward slashes."""

    def names(self) -> list[str]:
        """Return every file that is not hidden, in any order; an empty folder is listed with a final slash."""

    def hidden(self) -> int:
        """Return the number of hidden files, which `names` leaves out, and of those in hidden folders."""

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Return the contents of one file, which may have at most `most` bytes."""


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

    def hidden(self) -> int:
        """Return the number of hidden files and of files in hidden folders; links are not followed."""
        count = 0
        for place, _, files in os.walk(self.root):
            inside = any(_hidden(part) for part in Path(place).relative_to(self.root).parts)
            count += len(files) if inside else sum(map(_hidden, files))
        return count

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Return the bytes of one file.

        Raises:
            EdgenetError: it is missing, not a regular file, too large, or cannot be read.
        """
        path = self.root / name
        try:
            if not path.is_file():  # a pipe or a device could be read for ever
                raise EdgenetError(f"{path} is gone or is not a regular file", "check the folder")
            if path.stat().st_size > most:
                raise EdgenetError(f"{path} is larger than {_size(most)}", "remove it from the photos")
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
        return [name for name in members if not _is_hidden_path(name)]

    def hidden(self) -> int:
        """Return the number of hidden members and of members in hidden folders."""
        members = set(self._archive.get(self.path).namelist())
        return sum(not name.endswith("/") and _is_hidden_path(name) for name in members)

    def read(self, name: str, most: int = MAX_BYTES) -> bytes:
        """Return the bytes of one member.

        Raises:
            EdgenetError: the member is missing, too large, or cannot be unpacked.
        """
        try:
            archive = self._archive.get(self.path)
            if archive.getinfo(name).file_size > most:
                raise EdgenetError(
                    f"{name} in {self.path} is larger than {_size(most)}", "remove it from the photos"
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
        archive = zipfile.ZipFile(path)
        check_unpacked_size(archive, path.stat().st_size, str(path))
        return archive
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{path} cannot be opened as a zip: {error}", "copy or zip it again") from error


def _is_hidden_path(name: str) -> bool:
    return any(map(_hidden, name.split("/")))


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def _size(most: int) -> str:
    return f"{most >> 30} GiB" if most >= 1 << 30 else f"{most >> 20} MiB"


def _cannot_list(error: OSError) -> None:
    raise EdgenetError(f"cannot list {error.filename}: {error.strerror}", "check its permissions") from error
