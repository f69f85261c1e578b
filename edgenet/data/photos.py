"""Sets of photos, labelled or not. They are found in a folder or a zip without decoding any photo.

These layouts are accepted, as a folder or as a zip, with or without one enclosing folder:

- photos directly in the folder, possibly with subfolders beside them: the set is unlabelled;
- one folder per class (the layout of torchvision's ImageFolder): the classes are ordered by name;
- either of these inside `train`, `val` or `test` folders: one of them is chosen;
- photos and a `labels.csv` with the columns file, class_index and optionally name: only the listed photos are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from device_scripts.photos import PHOTO_SUFFIXES, read_photo
from edgenet.data.archive import Files, ZipFiles, open_files
from edgenet.data.labels_csv import LABELS_FILE, read_labels
from edgenet.errors import EdgenetError

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


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
    """Find the photos in a folder or a zip. The module's docstring lists the accepted layouts.

    Args:
        path: a folder or a zip.
        split: the name of the split folder to use; required if there are several.

    Raises:
        EdgenetError: `path` does not exist, is neither a folder nor a zip, or has no photos; a split must be chosen or
            the chosen one does not exist; a class folder has no photos; or `labels.csv` is not valid.
    """
    origin, files = str(path), open_files(Path(path))
    # Sorting compares code points and ignores the locale, so the order is the same on every machine.
    found = sorted(files.names())
    prefix = _outer_folder(found, files)
    prefix, chosen = _choose_split(found, prefix, split, origin)
    names = [name[len(prefix) :] for name in found if name.startswith(prefix)]
    photos = [name for name in names if PurePosixPath(name).suffix.lower() in PHOTO_SUFFIXES]
    if not photos:
        raise _no_photos(origin, names)
    labels: Sequence[int | None]
    if LABELS_FILE in names:
        where = f"{prefix}{LABELS_FILE} in {origin}"
        photos, labels, class_names = read_labels(files.read(prefix + LABELS_FILE), photos, where)
    else:
        labels, class_names = _labels_from_folders(names, photos, origin)
    return PhotoSet(origin, tuple(photos), tuple(labels), tuple(class_names), chosen, files, prefix)


def split_folders(path: Path | str) -> tuple[str, ...]:
    """Return the split folders in a folder or a zip, ordered by name; empty if there are none.

    Raises:
        EdgenetError: `path` does not exist, or it is neither a folder nor a zip.
    """
    files = open_files(Path(path))
    found = files.names()
    return tuple(_splits(found, _outer_folder(found, files)))


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
    deeper = LABELS_FILE in inside or any("/" in name for name in inside)
    is_archive = isinstance(files, ZipFiles)
    if top.lower() in SPLITS or not (deeper or is_archive):
        return ""
    return f"{top}/"


def _choose_split(names: list[str], prefix: str, wanted: str | None, origin: str) -> tuple[str, str | None]:
    """Return the prefix of the photos to use and the split's name, or the given prefix and None without splits."""
    splits = _splits(names, prefix)
    if wanted is None and len(splits) > 1:
        raise EdgenetError(f"{origin} has the splits {', '.join(splits)}", "choose one of them")
    if wanted is None:
        return (f"{prefix}{splits[0]}/", splits[0]) if splits else (prefix, None)
    if not splits:
        raise EdgenetError(
            f"{origin} has no split folders, so there is no split '{wanted}'", "do not name a split"
        )
    if wanted not in splits:
        raise EdgenetError(f"{origin} has no split '{wanted}'", f"choose one of {', '.join(splits)}")
    return f"{prefix}{wanted}/", wanted


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
    seen = f"{len(files)} other files, such as {files[0]}" if files else "it is empty"
    return EdgenetError(f"no photos in {origin} ({seen})", "put JPEG or PNG files there")
