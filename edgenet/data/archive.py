"""Reads the files of a photo set from a folder, or from a zip without unpacking it.

Nothing here writes files. The members of a zip exist only as bytes in memory, so a name like `../x` is harmless.
"""

from __future__ import annotations

import os
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from device_scripts.photos import MAX_BYTES
from edgenet.errors import EdgenetError
from edgenet.files import UNREADABLE_ZIP


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
        found: list[str] = []
        seen: set[Path] = set()
        for place, folders, files in os.walk(self.root, onerror=_cannot_list, followlinks=True):
            here = Path(place).resolve()
            if here in seen:  # a link back to a parent would be followed for ever
                folders.clear()
                continue
            seen.add(here)
            folders[:] = [name for name in folders if not _hidden(name)]
            relative = Path(place).relative_to(self.root)
            found += [(relative / name).as_posix() for name in files if not _hidden(name)]
            if not files and not folders and relative.parts:
                found.append(relative.as_posix() + "/")
        return found

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
    _handles: _Handles = field(default_factory=lambda: _Handles(), compare=False, repr=False)

    def names(self) -> list[str]:
        """Return the paths in the zip."""
        # A zip may hold a name twice; reading returns the last one.
        found = set(self._handles.get(self.path).namelist())
        return [name for name in found if not any(_hidden(part) for part in PurePosixPath(name).parts)]

    def read(self, name: str) -> bytes:
        """Return the bytes of one member.

        Raises:
            EdgenetError: the member is missing, too large, or cannot be unpacked.
        """
        try:
            archive = self._handles.get(self.path)
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise EdgenetError(
                    f"{name} in {self.path} is larger than {MAX_BYTES >> 30} GiB", "remove it from the photos"
                )
            return archive.read(name)
        except UNREADABLE_ZIP as error:
            raise EdgenetError(
                f"{name} in {self.path} cannot be unpacked: {error}", "zip it again"
            ) from error


class _Handles:
    """Keeps one open zip per process, because processes that share a handle after a fork share its file position."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def get(self, path: Path) -> zipfile.ZipFile:
        with self._lock:
            if self._open is None or self._open[0] != os.getpid():
                self._open = os.getpid(), _open_zip(path)
            return self._open[1]

    def __reduce__(self) -> tuple[type[_Handles], tuple[()]]:
        return _Handles, ()


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{path} cannot be opened as a zip: {error}", "copy or zip it again") from error


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name == "__MACOSX"


def _cannot_list(error: OSError) -> None:
    raise EdgenetError(f"cannot list {error.filename}: {error.strerror}", "check its permissions") from error
