"""Finds the classes of photos: from a table, from folders, or not at all, and then says why not."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from edgenet.data.folders import Files, folders_without_photos, split_kind
from edgenet.data.label_tables import (
    LABELS_CSV,
    MAX_TABLE_BYTES,
    ONE_HOT_CSV,
    LabelledNames,
    PhotoFinder,
    is_for_objects,
    names_files_and_classes,
    read_labels_csv,
    read_one_hot,
    read_plain_table,
)
from edgenet.errors import EdgenetError, one_line

_GUESSED = (
    "the folders within a folder 'unlabelled' are what a network thought",
    "move each photo into the folder of its class",
)
GIVE_CLASSES = "give class folders or a labels.csv"


@dataclass(frozen=True)
class Labelling:
    """The photos to use and their classes.

    Attributes:
        names: the photos to use, sorted, without the prefix.
        labels: the class index of each; None for a photo without a class.
        class_names: the class names by index; "" for unknown names; empty for an unlabelled set.
        table: the name of the table that gave the classes, or None.
        why_not: why there are no classes, and what to do; both "" if there are or nothing more is known.
        warnings: what may be wrong with the classes, one sentence each without a full stop.
    """

    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    class_names: tuple[str, ...]
    table: str | None = None
    why_not: tuple[str, str] = ("", "")
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundPhotos:
    """The files of a data set, and where in it the photos are.

    Attributes:
        files: the folder or zip; `origin` is the path that the user gave, for messages.
        names: the names of all files and of empty folders, sorted.
        everything: the names of all photos, in all splits.
        root: the folder around everything, as "name/", or "".
        prefix: the folder of the photos to use, as "name/", or ""; `split` is the name of the split folder, if any.
        photos: the photos to use, sorted, without the prefix.
        aside: the names of all files in a folder "unlabelled" beside the photos, which are not used.
        guessed: whether the photos themselves lie in such a folder, so that its folders are no classes.
    """

    files: Files = field(repr=False)
    origin: str
    names: Sequence[str] = field(repr=False)
    everything: Sequence[str] = field(repr=False)
    root: str
    prefix: str
    split: str | None
    photos: Sequence[str] = field(repr=False)
    aside: Sequence[str] = field(default=(), repr=False)
    guessed: bool = False

    def table(self, name: str) -> tuple[bytes, str]:
        """Return the contents of a table, and its name for error messages."""
        return self.files.read(name, MAX_TABLE_BYTES), f"{one_line(name)} in {self.origin}"

    def finder(self) -> PhotoFinder:
        """Return what finds photos by the names in a table."""
        return PhotoFinder([self.prefix + photo for photo in self.photos], self.everything)


def find_labels(found: FoundPhotos) -> Labelling:
    """Return the photos to use and their classes.

    Raises:
        EdgenetError: a class folder has no photos, or a table is not valid.
    """
    # Sets that come as zips of photo folders have their tables beside the photos, beside the split, or at the root.
    places = dict.fromkeys((found.prefix, f"{found.root}{found.split}/" if found.split else "", found.root))
    existing = set(found.names)
    own = next((place + LABELS_CSV for place in places if place + LABELS_CSV in existing), None)
    if own is not None:
        return _from_labels_csv(found, own)
    one_hot = next((place + ONE_HOT_CSV for place in places if place + ONE_HOT_CSV in existing), None)
    if one_hot is not None:
        data, where = found.table(one_hot)
        return _from_table(found, one_hot, read_one_hot(data, found.finder(), where))
    if len({photo.split("/")[0] if "/" in photo else "" for photo in found.photos}) < 2:
        labelling = _from_other_tables(found, list(places))
        if labelling is not None:
            return labelling
    return _from_folders(found)


def _from_labels_csv(found: FoundPhotos, table: str) -> Labelling:
    data, where = found.table(table)
    plain = read_plain_table(data, found.finder(), where)
    if plain is None and not names_files_and_classes(data, where):
        place = table.removesuffix(LABELS_CSV)
        photos = [name.removeprefix(place) for name in found.everything if name.startswith(place)]
        listed = read_labels_csv(data, photos, where)
        pairs = zip(listed.names, listed.labels, strict=True)
        used = [(place + name, label) for name, label in pairs if (place + name).startswith(found.prefix)]
        names, labels = tuple(name for name, _ in used), tuple(label for _, label in used)
        return _from_table(found, table, LabelledNames(names, labels, listed.class_names))
    if plain is None:
        raise EdgenetError(
            f"{where} lists none of the photos", "write the photos' names into its first column, or remove it"
        )
    return _from_table(found, table, plain)


def _from_table(found: FoundPhotos, table: str, listed: LabelledNames) -> Labelling:
    if not listed.names:
        raise EdgenetError(
            f"{one_line(table)} in {found.origin} lists no photo of {found.split}",
            "add them, or name another split",
        )
    names = tuple(name.removeprefix(found.prefix) for name in listed.names)
    return Labelling(names, listed.labels, listed.class_names, PurePosixPath(table).name)


def _from_other_tables(found: FoundPhotos, places: Sequence[str]) -> Labelling | None:
    """Return the classes from a CSV of any name beside the photos; None if none, or several, list them."""
    tables = [
        name
        for name in found.names
        if name.lower().endswith(".csv")
        and name[: name.rfind("/") + 1] in places
        and "submission" not in name.lower()
    ]
    finder = found.finder() if tables else None
    fitting: dict[str, LabelledNames] = {}
    for name in tables:
        data, where = found.table(name)
        listed = read_plain_table(data, finder, where) if finder and not is_for_objects(data, where) else None
        if listed is not None and listed.names:
            fitting[name] = listed
    if len(fitting) > 1 and found.split is not None:
        kind = split_kind(found.split)
        fitting = {
            name: t for name, t in fitting.items() if split_kind(PurePosixPath(name).stem) == kind
        } or fitting
    if len(fitting) > 1:
        names = " and ".join(one_line(PurePosixPath(name).name) for name in sorted(fitting))
        return Labelling(
            tuple(found.photos),
            (None,) * len(found.photos),
            (),
            why_not=(f"{names} both list them", f"leave one of them, and call it {LABELS_CSV}"),
        )
    return next((_from_table(found, name, listed) for name, listed in fitting.items()), None)


def _from_folders(found: FoundPhotos) -> Labelling:
    """Return the classes from the folders; the set is unlabelled if any photo is not in a folder."""
    photos = tuple(found.photos)
    if found.guessed:
        return Labelling(photos, (None,) * len(photos), (), why_not=_GUESSED)
    if not all("/" in photo for photo in photos):
        return Labelling(photos, (None,) * len(photos), (), why_not=_why_unlabelled(found))
    used = {photo.split("/")[0] for photo in photos}
    names = [name[len(found.prefix) :] for name in found.names if name.startswith(found.prefix)]
    for empty in folders_without_photos(
        names, used
    ):  # without the error, later classes would get other indices
        raise EdgenetError(
            f"the class folder {one_line(empty)} in {found.origin} holds no photos", "fill it or remove it"
        )
    # macOS writes an accent as a letter of its own (NFD), and other computers do not (NFC).
    spelled = {folder: unicodedata.normalize("NFC", folder) for folder in used}
    class_names = tuple(sorted(set(spelled.values())))
    index = {name: number for number, name in enumerate(class_names)}
    labels = tuple(index[spelled[photo.split("/")[0]]] for photo in photos)
    return Labelling(photos, labels, class_names, warnings=(*_nested(photos), *_alike_names(class_names)))


def _why_unlabelled(found: FoundPhotos) -> tuple[str, str]:
    """Return why photos that are not all in class folders have no classes, and what to do."""
    sign = object_annotations(found.names, found.everything)
    if sign is not None:
        return (
            f"{one_line(sign)} is for finding objects in photos",
            "export the set for classification (Roboflow calls it Folder Structure), or sort the photos into a "
            "folder for each class",
        )
    stray = [photo for photo in found.photos if "/" not in photo]
    folders = sorted({photo.split("/")[0] for photo in found.photos if "/" in photo})
    if not folders:
        return "", ""
    more = f" and {len(stray) - 1} more photos lie" if len(stray) > 1 else " lies"
    listed = ", ".join(map(one_line, folders[:3])) + (", ..." if len(folders) > 3 else "")
    return (
        f"{one_line(stray[0])}{more} beside the folders {listed}",
        "move what lies beside them into the folder of its class, or out of the set",
    )


def object_annotations(names: Sequence[str], photos: Sequence[str]) -> str | None:
    """Return a file that describes objects in the photos, as sets for object detection have, or None.

    These are known: Roboflow's `_annotations.*`, COCO's `instances_*.json`, and a .txt (YOLO) or .xml (Pascal VOC)
    with the name of the photo for at least half of the photos.

    Args:
        names: the names of all files.
        photos: the names of all photos.
    """
    for name in names:
        base = PurePosixPath(name).name.lower()
        if base.startswith("_annotations.") or (base.startswith("instances_") and base.endswith(".json")):
            return name
    stems = {PurePosixPath(photo).stem for photo in photos}
    for ending in (".txt", ".xml"):
        beside = [
            name for name in names if name.lower().endswith(ending) and PurePosixPath(name).stem in stems
        ]
        if beside and 2 * len({PurePosixPath(name).stem for name in beside}) >= len(stems):
            return beside[0]
    return None


def _nested(photos: Sequence[str]) -> list[str]:
    """Return a warning for each class folder that has photos of its own and others in subfolders."""
    inner: dict[str, dict[str, int]] = {}
    direct: set[str] = set()
    for photo in photos:
        parts = photo.split("/")
        if len(parts) > 2:
            counts = inner.setdefault(parts[0], {})
            counts[parts[1]] = counts.get(parts[1], 0) + 1
        else:
            direct.add(parts[0])
    return [
        f"the class folder {one_line(folder)} has a folder {one_line(sub)} inside, whose {count} "
        f"photo{'s count' if count > 1 else ' counts'} as {one_line(folder)}"
        for folder, counts in sorted(inner.items())
        for sub, count in sorted(counts.items())
        if folder in direct or len(counts) > 1
    ][:5]


def _alike_names(class_names: Sequence[str]) -> list[str]:
    """Return a warning for each two class folders whose names differ only in case or blanks."""
    seen: dict[str, str] = {}
    warnings = []
    for name in class_names:
        other = seen.setdefault(name.strip().casefold(), name)
        if other != name:
            warnings.append(
                f"the class folders '{one_line(other)}' and '{one_line(name)}' differ only in case or blanks, and "
                "are two classes"
            )
    return warnings
