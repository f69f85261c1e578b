"""Where a set's files come from: a folder, or a zip that is read without unpacking it.

Nothing here writes: a member of a zip exists only as bytes in memory, so a name like `../x` can climb nowhere.
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
    """Files by name; a name is relative, with forward slashes."""

    def names(self) -> list[str]:
        """Every file that is not hidden, in no particular order; a folder without files ends with a slash."""

    def read(self, name: str) -> bytes:
        """The contents of one file."""


def open_files(path: Path) -> Files:
    """The files in the folder or zip at `path`.

    Raises:
        EdgenetError: there is nothing, or something else.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise EdgenetError(f"{path} does not exist", "give a folder of photos or a zip of one")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise EdgenetError(
            f"{path} is neither a folder nor a zip",
            "give a folder of photos, or unpack it and give the folder",
        )
    return ZipFiles(path)


@dataclass(frozen=True)
class FolderFiles:
    """The files in a folder and the folders in it; links to folders are followed, each folder once."""

    root: Path

    def names(self) -> list[str]:
        """Paths below the root, a folder with nothing in it with a slash behind it."""
        found: list[str] = []
        seen: set[Path] = set()
        for place, folders, files in os.walk(self.root, onerror=_cannot_list, followlinks=True):
            here = Path(place).resolve()
            if here in seen:  # a link that leads back would be followed for ever
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
        """The bytes of one of them."""
        path = self.root / name
        try:
            if not path.is_file():  # a pipe or a device could be read for ever
                raise EdgenetError(f"{path} is gone or is not a regular file", "check the folder")
            if path.stat().st_size > MAX_BYTES:
                raise EdgenetError(f"{path} is larger than {MAX_BYTES >> 30} GiB", "leave it out")
            return path.read_bytes()
        except OSError as error:
            raise EdgenetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


@dataclass(frozen=True)
class ZipFiles:
    """The members of a zip. Can be handed to other processes: each opens the zip for itself."""

    path: Path
    _handles: _Handles = field(default_factory=lambda: _Handles(), compare=False, repr=False)

    def names(self) -> list[str]:
        """Paths in the zip."""
        # A zip may hold a name twice; reading gives the last one.
        found = set(self._handles.get(self.path).namelist())
        return [name for name in found if not any(_hidden(part) for part in PurePosixPath(name).parts)]

    def read(self, name: str) -> bytes:
        """The bytes of one of them."""
        try:
            archive = self._handles.get(self.path)
            if archive.getinfo(name).file_size > MAX_BYTES:
                raise EdgenetError(
                    f"{name} in {self.path} is larger than {MAX_BYTES >> 30} GiB", "leave it out"
                )
            return archive.read(name)
        except UNREADABLE_ZIP as error:
            raise EdgenetError(
                f"{name} in {self.path} cannot be unpacked: {error}", "zip it again"
            ) from error


class _Handles:
    """One open zip per process: a handle shared across a fork would share its position in the file."""

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
