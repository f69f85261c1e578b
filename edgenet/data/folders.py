"""Folders and zips of photos: the files in them, and how people lay out photos there.

Nothing here writes files. The members of a zip exist only as bytes in memory, so a name like `../x` is harmless. The
names alone tell the folders around everything, split folders, and folders that only sort files.
"""

from __future__ import annotations

import os
import re
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgenet_device.frames.photos import MAX_BYTES

from edgenet.data.file_account import is_photo_like
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
    if not (name.startswith(".") or "/." in name or "__MACOSX" in name):
        return False  # a zip of 60,000 photos is searched twice as fast without splitting their names
    return any(map(_hidden, name.split("/")))


def _hidden(name: str) -> bool:
    return (name.startswith(".") and name not in (".", "..")) or name == "__MACOSX"


def _size(most: int) -> str:
    return f"{most >> 30} GiB" if most >= 1 << 30 else f"{most >> 20} MiB"


def _cannot_list(error: OSError) -> None:
    raise EdgenetError(f"cannot list {error.filename}: {error.strerror}", "check its permissions") from error


SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""The names of split folders, and the kind of each."""
_UNLABELLED = dict.fromkeys(("pred", "predict", "prediction", "unlabeled", "unlabelled"), "unlabelled")
"""Folders that some sets have beside their splits, for photos without labels."""
UNLABELLED = ("unlabelled", "unlabeled")
"""Folders beside class folders for photos that nobody has labelled yet; `edgenet collect` makes the first."""
_JUST_PHOTOS = frozenset({"images", "image", "imgs", "img", "photos", "pictures", "data", "jpegimages"})
"""Folders whose name says nothing about the photos in them."""
_NO_CLASSES = frozenset([
    "annotations", "annotation", "labels", "metadata", "meta", "scripts", "code", "src", "docs",
    "doc", "notebooks", "models", "imagesets", "csv", "json", "__pycache__",
])  # fmt: skip
"""Folders beside the photos that hold other files; no class has such a name and no photos."""


def enclosing_folders(names: Sequence[str], is_archive: bool) -> str:
    """Return the folders that enclose all photos and are no classes, as "name/" or "name/name/", or "".

    In a folder that the user gave, a single subfolder of photos is a class. In a zip, a single folder is the folder
    that was zipped.

    Args:
        names: the names of all files and of empty folders.
        is_archive: whether they are in a zip.
    """
    prefix = ""
    while top := _enclosing(names, prefix, is_archive and not prefix):
        prefix += f"{top}/"
    return prefix


def _enclosing(names: Sequence[str], prefix: str, may_be_flat: bool) -> str | None:
    """Return the one folder below `prefix` that encloses all photos and is neither a class nor a split."""
    below = [name[len(prefix) :] for name in names if name.startswith(prefix)]
    top = _only_folder(below)
    if top is None or top.lower() in SPLITS:
        return None
    others = {name.split("/")[0] for name in below if "/" in name} - {top}
    if any(other.lower() not in _NO_CLASSES for other in others):
        return None
    inside = [name[len(top) + 1 :] for name in below if name.startswith(f"{top}/")]
    if any("/" in name and is_photo_like(name) for name in inside) or any(map(_is_table, inside)):
        return top
    # A table beside a folder of photos names them, so that folder must stay a part of their names.
    flat = (may_be_flat or top.lower() in _JUST_PHOTOS) and not any(map(_is_table, below))
    return top if flat else None


def _is_table(name: str) -> bool:
    return "/" not in name and name.lower().endswith(".csv")


def _only_folder(names: Sequence[str]) -> str | None:
    """Return the one top folder that holds all photos, or None."""
    photos = [name for name in names if is_photo_like(name)]
    tops = {name.partition("/")[0] for name in photos}
    return tops.pop() if len(tops) == 1 and all("/" in name for name in photos) else None


def without_repeated_folder(names: Sequence[str], prefix: str, split: str) -> str:
    """Return the prefix of a split's photos, with further folders around them, as in `seg_train/seg_train/CLASS`."""
    below = [name[len(prefix) :] for name in names if name.startswith(prefix)]
    top = _only_folder(below)
    if top is None or any(map(_is_table, below)):
        return prefix
    if top.lower() == split.lower() or top.lower() in _JUST_PHOTOS:
        return without_repeated_folder(names, f"{prefix}{top}/", split)
    return prefix


def splits_below(names: Sequence[str], prefix: str) -> list[str]:
    """Return the split folders below a prefix, ordered by name; empty if the photos are not in split folders.

    Either all folders have names like `train`, or all names are the same except for such a word, as in `train_images`
    and `test_images`.
    """
    photos = [name[len(prefix) :] for name in names if name.startswith(prefix) and is_photo_like(name)]
    tops = sorted({photo.split("/")[0] for photo in photos})
    if not tops or any("/" not in photo for photo in photos):
        return []
    if all(top.lower() in SPLITS for top in tops):
        return tops
    parts = [_kind_and_rest(top) for top in tops]
    kinds = [part[0] for part in parts if part is not None]
    rests = {part[1] for part in parts if part is not None}
    alike = len(kinds) == len(tops) == len(set(kinds)) and len(rests) == 1
    return tops if alike and "train" in kinds and len(tops) > 1 else []


def unlabelled_names(names: Sequence[str], prefix: str) -> list[str]:
    """Return the names below a folder "unlabelled" beside class folders: it is no class.

    A table beside it may give the classes of its photos; then there are none.

    Args:
        names: the names of all files and of empty folders.
        prefix: the folder around everything, as "name/", or "".
    """
    below = [name for name in names if name.startswith(prefix)]
    if any(_is_table(name[len(prefix) :]) for name in below):
        return []
    return [
        name
        for name in below
        if "/" in name[len(prefix) :] and name[len(prefix) :].split("/")[0].lower() in UNLABELLED
    ]


def split_kind(folder: str) -> str:
    """Return "train", "val" or "test" for the name of a split folder, or "unlabelled" for one without labels."""
    part = _kind_and_rest(folder)
    return part[0] if part else "unlabelled"


def _kind_and_rest(folder: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the kind that a word of the name stands for, and the name's other words; None unless one word does."""
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", folder).lower())
    known = SPLITS | _UNLABELLED
    found = [word for word in words if word in known]
    if len(found) != 1:
        return None
    return known[found[0]], tuple(word for word in words if word != found[0])


def choose_split(splits: Sequence[str], split: str | None, origin: str) -> str | None:
    """Return the split folder to use, or None if there are none.

    Args:
        splits: the split folders.
        split: the name or the kind that the user asked for; None if none.
        origin: the path that the user gave, for messages.

    Raises:
        EdgenetError: there are several splits and none was asked for, or there is no such split.
    """
    if split is None and len(splits) > 1:
        raise EdgenetError(f"{origin} has the splits {', '.join(splits)}", "choose one of them")
    if split is None:
        return splits[0] if splits else None
    if not splits:
        raise EdgenetError(
            f"{origin} has no split folders, so there is no split '{split}'", "do not name a split"
        )
    kind = SPLITS.get(split.lower())
    same_kind = [folder for folder in splits if kind is not None and split_kind(folder) == kind]
    found = [folder for folder in splits if folder == split] or same_kind
    if len(found) != 1:
        raise EdgenetError(f"{origin} has no split '{split}'", f"choose one of {', '.join(splits)}")
    return found[0]


def folders_without_photos(names: Sequence[str], classes: set[str]) -> list[str]:
    """Return the folders, ordered by name, that lie beside class folders and hold no photos.

    Args:
        names: the names of all files and of empty folders.
        classes: the class folders.
    """
    tops = {name.split("/")[0] for name in names if "/" in name} - classes
    filled = {name.split("/")[0] for name in names if "/" in name and not name.endswith("/")}
    return sorted(top for top in tops if top not in filled or top.lower() not in _NO_CLASSES)
