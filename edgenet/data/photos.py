"""Sets of photos, labelled or not. They are found in a folder or a zip without decoding any photo.

These layouts are accepted, as a folder or as a zip, with or without folders around all of it:

- photos directly in the folder, possibly with subfolders beside them: the set is unlabelled;
- one folder per class (the layout of torchvision's ImageFolder): the classes are ordered by name;
- either of these inside `train`, `val` or `test` folders, or `training_set` and `test_set`: one of them is chosen;
- photos and a table that gives their classes (see `label_tables`): only the listed photos are used.

A folder `unlabelled` beside class folders is left out. Its own folders are no classes: they are what a network
thought.

Every file that is found is accounted for (see `file_account`). Before a set is learned from, or measured on, its
labels, names and contents are checked.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from edgenet_device.frames.photos import read_photo

from edgenet.data.file_account import (
    NO_FILES,
    FileAccount,
    in_split,
    is_photo_like,
    other_files,
    why_unreadable,
)
from edgenet.data.folders import (
    UNLABELLED,
    Files,
    ZipFiles,
    choose_split,
    enclosing_folders,
    open_files,
    splits_below,
    unlabelled_names,
    without_repeated_folder,
)
from edgenet.data.labelling import GIVE_CLASSES, FoundPhotos, Labelling, find_labels
from edgenet.errors import EdgenetError, one_line


@dataclass(frozen=True)
class PhotoSet:
    """An ordered set of photos; `open_photos` orders them by name.

    Attributes:
        origin: the path that the user gave, for messages.
        names: the unique name of every photo, with forward slashes.
        labels: the class index of every photo; None for a photo without a label.
        class_names: the class names by class index; "" for unknown names; empty for an unlabelled set.
        split: the split folder that was chosen, or None.
        found: what became of every file of the folder or zip, if all photos of the set can be read.
        why_unlabelled: why the photos have no classes and what to do about it; both "" if no more is known.
    """

    origin: str
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    class_names: tuple[str, ...]
    split: str | None
    _files: Files
    _prefix: str
    found: FileAccount = field(default=NO_FILES, repr=False)
    why_unlabelled: tuple[str, str] = ("", "")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def paths(self) -> tuple[str, ...]:
        """The path of every photo within the folder or zip, with forward slashes."""
        return tuple(self._prefix + name for name in self.names)

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

    def account(self, read: int, skipped: Sequence[tuple[str, str]]) -> FileAccount:
        """Return what became of every file of the folder or zip, after photos of this set were read.

        Args:
            read: number of photos that were read.
            skipped: (name, reason) of the photos that could not be read.
        """
        return self.found.after_reading(read, skipped)


def open_photos(path: Path | str, *, split: str | None = None) -> PhotoSet:
    """Find the photos in a folder or a zip, without decoding them.

    The photos lie directly in the folder (an unlabelled set), or in one folder per class; either of these may be
    inside `train`, `val` or `test` folders. Or a table lists them: a `labels.csv` with the columns file, class_index
    and optionally name, Roboflow's `_classes.csv`, or another CSV with the columns file and label.

    >>> photos = edgenet.open_photos("labelled")
    >>> len(photos), photos.class_names
    (12, ('daisy', 'rose', 'tulip'))

    Args:
        path: a folder or a zip.
        split: the name of the split folder to use; required if there are several.

    Raises:
        EdgenetError: `path` does not exist, is neither a folder nor a zip, or has no photos; a split must be chosen or
            the chosen one does not exist; a class folder has no photos; or a table is not valid.
        TypeError: `path` or `split` has the wrong type.
    """
    for name, value, kinds in (("path", path, str | os.PathLike), ("split", split, str | None)):
        if not isinstance(value, kinds):
            wanted = "str or Path" if name == "path" else "str or None"
            raise TypeError(
                f"edgenet.open_photos got {name} of type {type(value).__name__}, and {name} must be {wanted}"
            )
    files = open_files(Path(path))
    found = _find(files, str(path), split)
    labelling = find_labels(found)
    readable = [i for i, name in enumerate(labelling.names) if why_unreadable(name) is None]
    if not readable:
        raise EdgenetError(
            f"none of the {len(labelling.names)} photos in {path} can be read: "
            f"{why_unreadable(labelling.names[0])}"
        )
    return PhotoSet(
        found.origin,
        tuple(labelling.names[i] for i in readable),
        tuple(labelling.labels[i] for i in readable),
        labelling.class_names,
        found.split,
        files,
        found.prefix,
        _account(found, labelling, len(readable)),
        labelling.why_not,
    )


def _find(files: Files, origin: str, split: str | None) -> FoundPhotos:
    # Sorting compares code points and ignores the locale, so the order is the same on every machine.
    names = sorted(files.names())
    root = enclosing_folders(names, isinstance(files, ZipFiles))
    splits = splits_below(names, root)
    aside = [] if splits else unlabelled_names(names, root)
    guessed = PurePosixPath(root or Path(origin).name).name.lower() in UNLABELLED
    if aside:
        labelled = sorted(set(names) - set(aside))
        guessed = not any(map(is_photo_like, labelled))
        names, aside = (names, []) if guessed else (labelled, aside)
    chosen = choose_split(splits, split, origin)
    prefix = root if chosen is None else without_repeated_folder(names, f"{root}{chosen}/", chosen)
    everything = [name for name in names if is_photo_like(name)]
    photos = [name[len(prefix) :] for name in everything if name.startswith(prefix)]
    if not photos:
        raise _no_photos(origin, names)
    return FoundPhotos(files, origin, names, everything, root, prefix, chosen, photos, aside, guessed)


def _account(found: FoundPhotos, labelling: Labelling, readable: int) -> FileAccount:
    unused = Counter(
        in_split(name[len(found.root) :].split("/")[0])
        for name in found.everything
        if not name.startswith(found.prefix)
    )
    if left := len(found.photos) - len(labelling.names):
        unused[f"not in {labelling.table}"] = left
    if aside := sum(map(is_photo_like, found.aside)):
        unused["unlabelled"] = aside
    not_photos, ignored = other_files([*found.names, *found.aside])
    if hidden := found.files.hidden():
        ignored["hidden"] = hidden
    return FileAccount(
        files=len(found.everything) + aside + sum(not_photos.values()) + sum(ignored.values()),
        read=readable,
        unreadable=tuple(
            (name, reason) for name in labelling.names if (reason := why_unreadable(name)) is not None
        ),
        unused=dict(unused),
        not_photos=not_photos,
        ignored=ignored,
        warnings=labelling.warnings,
    )


def _no_photos(origin: str, names: list[str]) -> EdgenetError:
    files = [name for name in names if not name.endswith("/")]
    instead = f"{len(files)} other files, such as {one_line(files[0])}" if files else "it is empty"
    return EdgenetError(f"no photos in {origin} ({instead})", "put JPEG or PNG files there")


def split_folders(path: Path | str) -> tuple[str, ...]:
    """Return the split folders in a folder or a zip, ordered by name; empty if there are none.

    Raises:
        EdgenetError: `path` does not exist, or it is neither a folder nor a zip.
    """
    files = open_files(Path(path))
    names = files.names()
    return tuple(splits_below(names, enclosing_folders(names, isinstance(files, ZipFiles))))


ALIKE = 6.0
"""Photos of different things differ more than this from their mean, in steps of 255; noise and dust cause less."""


def require_labels(photos: PhotoSet, remedy: str = GIVE_CLASSES) -> None:
    """Check that every photo has a class, and that the class names can be written to a labels file.

    Args:
        photos: the photos.
        remedy: what to do if they have no classes and it is not known why.

    Raises:
        EdgenetError: some photos have no class, the name of a class has blanks around it, control characters or no
            Unicode spelling, or a class folder lies inside the folder of another class.
    """
    if any(label is None for label in photos.labels):
        why, own_remedy = photos.why_unlabelled
        because = f": {why}" if why else ""
        raise EdgenetError(f"the photos in {photos.origin} have no labels{because}", own_remedy or remedy)
    for name in photos.class_names:
        _check_class_name(name, photos.origin)
    _check_nesting(photos)


def _check_class_name(name: str, origin: str) -> None:
    categories = {unicodedata.category(character) for character in name}
    problem = None
    if name != name.strip():
        problem = "begins or ends with a blank"
    elif "Cc" in categories:
        problem = "has a control character"
    elif "Cs" in categories:
        problem = "is not written in UTF-8"
    if problem:
        raise EdgenetError(f"the name of the class '{_shown(name)}' in {origin} {problem}", "rename it")


def _shown(name: str) -> str:
    return one_line(name.encode("utf-8", "replace").decode())


def _check_nesting(photos: PhotoSet) -> None:
    """Check that no class folder has a subfolder with the name of another class."""
    classes = {name.casefold(): name for name in photos.class_names}
    for photo, label in zip(photos.names, photos.labels, strict=True):
        parts = photo.split("/")
        inner = classes.get(parts[1].casefold()) if len(parts) > 2 else None
        own = photos.class_names[label] if label is not None else ""
        if inner is not None and own == unicodedata.normalize("NFC", parts[0]) and inner != own:
            raise EdgenetError(
                f"the folder {one_line('/'.join(parts[:2]))} in {photos.origin} lies inside the class {one_line(own)} "
                f"and has the name of the class {one_line(inner)}",
                f"move its photos into the folder {one_line(inner)}",
            )


def two_labels_warning(
    names: Sequence[str], labels: Sequence[int], contents: Sequence[bytes | str], class_names: Sequence[str]
) -> str | None:
    """Return a warning that names two files of the same contents in different classes, or None if there are none.

    Args:
        names: the name of every photo.
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        class_names: the class names by index.
    """
    first: dict[bytes | str, int] = {}
    pairs: list[tuple[int, int]] = []
    for index, content in enumerate(contents):
        other = first.setdefault(content, index)
        if labels[other] != labels[index]:
            pairs.append((other, index))
    if not pairs:
        return None
    one, two = (f"{one_line(names[i])} ({one_line(class_names[labels[i]])})" for i in pairs[0])
    more = f", and {len(pairs) - 1} more photos likewise" if len(pairs) > 1 else ""
    return f"the same photo has two labels: {one} and {two}{more}; keep one of each, in its right class"


def same_photo_warnings(
    labels: Sequence[int], contents: Sequence[bytes | str], class_names: Sequence[str]
) -> tuple[str, ...]:
    """Return a warning for each class of two photos or more whose files are all copies of one, at most five.

    Args:
        labels: the class index of every photo.
        contents: a hash of every photo's file.
        class_names: the class names by index.
    """
    by_class: dict[int, list[bytes | str]] = {}
    for label, content in zip(labels, contents, strict=True):
        by_class.setdefault(label, []).append(content)
    return tuple(
        f"all {len(own)} photos of {one_line(class_names[label])} are copies of one photo; add different ones"
        for label, own in sorted(by_class.items())
        if len(own) > 1 and len(set(own)) == 1
    )[:5]


def alike_warning(thumbnails: np.ndarray) -> str | None:
    """Return a warning if all photos look nearly the same, or None.

    Args:
        thumbnails: the photos reduced to the same small size, uint8 [n, height, width, 3].
    """
    if len(thumbnails) < 2:
        return None
    values = thumbnails.astype(np.float32)
    if float(np.abs(values - values.mean(axis=0)).mean()) >= ALIKE:
        return None
    return (
        f"all {len(thumbnails)} photos look nearly the same, so nothing can be learned that tells them apart; "
        "check that the right folder was given"
    )
