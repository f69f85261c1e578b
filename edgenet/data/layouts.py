"""How people lay out photos in folders: folders around everything, split folders, and folders that only sort files."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgenet.data.file_account import is_photo_like
from edgenet.errors import EdgenetError

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
