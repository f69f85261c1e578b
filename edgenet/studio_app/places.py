"""The studio's folder: where its photos, runs and bundles lie, and which names a browser may ask for.

    FOLDER/photos/CLASS/...            the photos, one folder for each class
    FOLDER/photos-set-aside/CLASS/...  the bin, where `edgenet train --review` puts photos too
    FOLDER/runs/NAME/                  what each teaching made
    FOLDER/bundles/NAME.edgenet        the finished classifiers

All of these are plain files, so every step can also be done by a command, and the changes show up on the page.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgenet_device.collecting.collector import class_folder

from edgenet.data.file_account import is_photo_like
from edgenet.errors import EdgenetError
from edgenet.files import make_folder

_MOST_PARTS, _LONGEST_PART = 16, 255
SPARE_BYTES = 64 << 20
"""So much space stays free, for the run that comes after the photos."""
_PUT_BACK = "put it back, or start the studio with another folder"


class StorageError(EdgenetError):
    """The folder cannot be written now: it is full, read-only or gone. The next file would fare no better."""


@dataclass(frozen=True)
class PhotoName:
    """A photo as a browser names it: its class, its path within the class's folder, and whether it is in the bin."""

    label: str
    name: str
    binned: bool = False


@dataclass(frozen=True)
class Places:
    """The folders of a studio; `root` is the folder that the user gave."""

    root: Path

    @property
    def photos(self) -> Path:
        """The folder with the class folders."""
        return self.root / "photos"

    @property
    def bin(self) -> Path:
        """The folder of deleted photos, which no training reads."""
        return self.root / "photos-set-aside"

    @property
    def runs(self) -> Path:
        """The folder with a folder for each teaching."""
        return self.root / "runs"

    @property
    def bundles(self) -> Path:
        """The folder of the finished classifiers."""
        return self.root / "bundles"

    @classmethod
    def open(cls, root: Path) -> Places:
        """Return the places in a folder, after making those that are missing.

        Raises:
            EdgenetError: the folder cannot be made, or holds photos or class folders of photos itself.
        """
        places = cls(root)
        if root.is_dir() and not places.photos.is_dir():
            with_photos = [one for one in (root, *_folders(root)) if any(map(is_photo_like, os.listdir(one)))]
            if with_photos:
                raise EdgenetError(
                    f"{root} holds photos itself, in {with_photos[0]}",
                    "give a new folder, and put the class folders into its folder photos",
                )
        make_folder(root)
        make_folder(places.photos)
        return places

    def labels(self, binned: bool = False) -> list[str]:
        """Return the names of the class folders, in order."""
        home = self.bin if binned else self.photos
        return [one.name for one in _folders(home)] if home.is_dir() else []

    def class_folder(self, label: str, binned: bool = False) -> Path:
        """Return the folder of a class that exists.

        Raises:
            EdgenetError: there is no such class.
        """
        if label not in self.labels(binned):  # only names that the folder lists are used as paths
            raise EdgenetError(f"there is no class '{label[:80]}' any more", "look at the classes again")
        return (self.bin if binned else self.photos) / label

    def new_class(self, label: str) -> Path:
        """Make the folder of a class, unless it exists.

        Raises:
            StorageError: the folder cannot be made.
            EdgenetError: the name cannot be that of a folder.
        """
        if label in self.labels():
            return self.photos / label
        if not self.root.is_dir():  # a new one would perhaps lie beside a disk that was unplugged
            raise StorageError(f"the folder {self.root} is gone", _PUT_BACK)
        try:
            return class_folder(self.photos, label)
        except EdgenetError as error:
            if isinstance(error.__cause__, OSError):
                raise StorageError(error.found, "check the folder and its permissions") from None
            raise

    def trouble(self) -> StorageError | None:
        """Return why no photo can be kept now; None if one can."""
        if not self.root.is_dir():
            return StorageError(f"the folder {self.root} is gone", _PUT_BACK)
        if not os.access(self.root, os.W_OK):
            return StorageError(f"the folder {self.root} is read-only", "check its permissions and its disk")
        if free_space(self.root) < SPARE_BYTES:
            return StorageError(f"the disk of {self.root} is full", "free some space there")
        return None

    def names(self, label: str, binned: bool = False) -> list[str]:
        """Return the photos of a class as paths within its folder, with forward slashes, in order."""
        home = self.class_folder(label, binned)
        return sorted(_photo_names(home, home))

    def path(self, photo: PhotoName) -> Path:
        """Return the path of a photo that exists.

        Raises:
            EdgenetError: there is no such photo, or the name leaves the folder.
        """
        home = self.class_folder(photo.label, photo.binned)
        path = home.joinpath(*safe_parts(photo.name))
        if not path.is_file() or not is_photo_like(path.name):
            raise EdgenetError(
                f"{photo.name[:200]} is not in {photo.label} any more", "look at the photos again"
            )
        return path


def safe_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path that a browser sent.

    Raises:
        EdgenetError: the path is absolute, leaves its folder, or names a hidden file.
    """
    path = PurePosixPath(name)
    fine = path.parts and len(path.parts) <= _MOST_PARTS and not path.is_absolute() and "\\" not in name
    if not fine or any(_is_unsafe(part) for part in path.parts):
        raise EdgenetError("a photo's name leaves its folder", "load the page again")
    return path.parts


def _is_unsafe(part: str) -> bool:
    return part.startswith(".") or "\0" in part or len(os.fsencode(part)) > _LONGEST_PART


def _folders(home: Path) -> list[Path]:
    return sorted(one for one in home.iterdir() if one.is_dir() and not one.name.startswith("."))


def _photo_names(home: Path, folder: Path) -> Iterator[str]:
    """Yield the photos below a folder as paths within `home`; links to folders are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _photo_names(home, Path(entry.path))
            elif is_photo_like(entry.name) and entry.is_file():
                yield Path(entry.path).relative_to(home).as_posix()


def free_space(folder: Path) -> int:
    """Return the number of bytes that can still be written there; 0 if the folder is gone."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def scratch_file(folder: Path) -> Path:
    """Return a new hidden file in a folder, so that it can be renamed to its final place within the file system.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=".edgenet-", suffix=".tmp", dir=folder)
    except OSError as error:
        raise StorageError(f"cannot write into {folder}: {error.strerror}", _PUT_BACK) from None
    os.close(descriptor)
    return Path(name)
