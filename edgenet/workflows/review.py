"""Carries out what a person ticked on the page of a training: photos are moved to other classes, set aside, or listed.

The file of decisions comes from a browser and is not trusted: a photo is moved only if it is one of the set's photos,
its contents are those that the page showed, and it and its new place lie in the folder of the photos. Nothing is
deleted and nothing is overwritten.
"""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgenet_device.foreign_text import read_json

from edgenet.data.file_account import is_photo_like
from edgenet.data.folders import SPLITS
from edgenet.data.label_tables import LABELS_CSV, ONE_HOT_CSV
from edgenet.data.photos import PhotoSet, open_photos, split_folders
from edgenet.errors import EdgenetError, one_line
from edgenet.files import check_output, locked_folder, sha256, write_atomically
from edgenet.progress import Log, no_log
from edgenet.workflows.arguments import checked

FORMAT = "edgenet.review.v1"
SET_ASIDE = "-set-aside"
"""Photos that are set aside go into a folder beside that of the photos, whose name ends so."""
_MOST_BYTES = 64 << 20
_LIST_INSTEAD = "write the decisions with --list FILE.csv for another tool"


@dataclass(frozen=True)
class Decision:
    """What a person decided about one photo.

    Attributes:
        file: the photo's path within the data, with forward slashes.
        sha256: the SHA-256 of its contents when the page was made, 64 hexadecimal digits.
        label: the name of its class.
        new_label: the name of the class to move it to; None to set it aside.
    """

    file: str
    sha256: str
    label: str
    new_label: str | None


@dataclass(frozen=True)
class Review:
    """What `apply_review` did.

    Attributes:
        data: the folder of the photos.
        moved: (old place, new place) of the photos that got another class, within `data`.
        set_aside: (old place within `data`, new path) of the photos that were set aside.
        done_before: number of photos that an earlier call had moved already.
        emptied: the class folders that have no photos left; a training would ask to fill or remove them.
        listed: the file that lists the decisions, if it was asked for; then nothing was moved.
    """

    data: str
    moved: tuple[tuple[str, str], ...]
    set_aside: tuple[tuple[str, str], ...]
    done_before: int
    emptied: tuple[str, ...]
    listed: str | None


@checked
def apply_review(
    review: str | Path, data: str | Path, *, list_file: str | Path | None = None, log: Log = no_log
) -> Review:
    """Move the photos that were ticked on the page of a training, or write the decisions as a list.

    A photo that gets another class goes into the folder of that class. A photo that is set aside goes into a folder
    beside the data, such as `photos-set-aside`, which no training reads. If the new place of a photo is taken, the
    photo gets a longer name.

    >>> edgenet.apply_review("review.json", "labelled").moved
    (('daisy/cat.jpg', 'rose/cat.jpg'),)

    Args:
        review: the `review.json` that the page wrote.
        data: the folder of the photos, as it was given to the training.
        list_file: write the decisions to this CSV file, and move nothing.
        log: called with a line for each photo that was moved.

    Raises:
        EdgenetError: the file of decisions is not valid; the photos are in a zip or their classes come from a table; a
            photo is not there or was changed since; or a place is outside the folder. In all these cases no photo has
            been moved. A photo that cannot be moved is an error too; those before it have been moved then.
        TypeError: an argument has the wrong type.
    """
    decisions = read_decisions(Path(review))
    if list_file is not None:
        check_output(Path(list_file), review)
        write_atomically(list_file, _as_csv(decisions))
        return Review(str(data), (), (), 0, (), str(list_file))
    root = Path(data).resolve()
    if not root.is_dir():
        raise EdgenetError(f"{data} is not a folder", f"unpack it and give the folder, or {_LIST_INSTEAD}")
    with locked_folder(root, log):
        folder = _Folder.open(root)
        plan = [_Move.of(one, folder) for one in _unchanged(decisions, folder)]
        moves = list(_with_places(plan))
        for number, move in enumerate(moves):
            _move(move, number)
            log(
                f"{move.words} {one_line(move.file)} {'to' if move.to_class else 'in'} {one_line(move.shown)}"
            )
    return Review(
        str(data),
        tuple((move.file, move.shown) for move in moves if move.to_class),
        tuple((move.file, move.shown) for move in moves if not move.to_class),
        len(decisions) - len(moves),
        _emptied(folder),
        None,
    )


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """Return the decisions in a `review.json`, in its order.

    Raises:
        EdgenetError: the file cannot be read or is not what the page writes, or a photo has two decisions.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EdgenetError(
                f"{path} is larger than {_MOST_BYTES >> 20} MiB", "download it from the page again"
            )
        value = read_json(path.read_bytes(), surrogates=True)
        if value["format"] != FORMAT:
            raise ValueError(f"its format is {value['format']!r}")
        decisions = tuple(_decision(one) for one in value["decisions"])
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check the path") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EdgenetError(
            f"{path} is not a file of decisions ({one_line(str(error), 80)})",
            "download review.json from the report's page again",
        ) from None
    files = [one.file for one in decisions]
    twice = (
        next((file for file in files if files.count(file) > 1), None)
        if len(set(files)) < len(files)
        else None
    )
    if twice is not None:
        raise EdgenetError(
            f"{path} has two decisions for {one_line(twice)}", "download it from the page again"
        )
    return decisions


_LONGEST_PART, _MOST_PARTS = 255, 64


def _decision(value: dict[str, str]) -> Decision:
    action = value["action"]
    if action not in ("move", "set aside"):
        raise ValueError(f"the action {action!r} is not known")
    new_label = value["to"] if action == "move" else None
    found = Decision(value["file"], value["sha256"], value["class"], new_label)
    texts = (found.file, found.sha256, found.label, "" if action != "move" else new_label)
    if not all(isinstance(text, str) for text in texts) or not found.file:
        raise ValueError("a name is not a text")
    path = PurePosixPath(found.file)
    if path.is_absolute() or ".." in path.parts or "\0" in found.file:
        raise ValueError(f"{found.file!r} leaves the folder")
    if max(len(os.fsencode(part)) for part in path.parts) > _LONGEST_PART or len(path.parts) > _MOST_PARTS:
        raise ValueError("a name is longer than those of files are")
    return found


def _as_csv(decisions: Sequence[Decision]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("file", "label", "action", "new_label", "sha256"))
    for one in decisions:
        action = "set aside" if one.new_label is None else "move"
        writer.writerow((one.file, one.label, action, one.new_label or "", one.sha256))
    # The name of a file may have bytes that are no UTF-8; they stay as they are.
    return text.getvalue().encode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class _Folder:
    """The photos below a folder: where each class has its folder, for each photo by its path within the data."""

    root: Path
    classes: dict[str, dict[str, str]]
    """By photo: the folder of each class of the photo's split, as a path within the data."""
    inside: dict[str, str]
    """By photo: its path within its class folder."""

    @classmethod
    def open(cls, root: Path) -> _Folder:
        classes: dict[str, dict[str, str]] = {}
        inside: dict[str, str] = {}
        for photos in _splits(root):
            folders = _class_folders(photos)
            for path, name in zip(photos.paths, photos.names, strict=True):
                classes[path] = folders
                inside[path] = name.partition("/")[2]
        return cls(root, classes, inside)

    @property
    def beside(self) -> Path:
        """The folder for photos that are set aside. Beside a folder `train` it could be taken for a class."""
        whole = self.root
        while whole.name.lower() in SPLITS and whole.parent != whole:
            whole = whole.parent
        return whole.with_name(whole.name + SET_ASIDE)


def _splits(root: Path) -> Iterator[PhotoSet]:
    for split in split_folders(root) or (None,):
        yield open_photos(root, split=split)


def _class_folders(photos: PhotoSet) -> dict[str, str]:
    """Return the folder of each class, within the data.

    Raises:
        EdgenetError: the classes are not those of folders.
    """
    table = next(
        (n for n in photos._files.names() if PurePosixPath(n).name in (LABELS_CSV, ONE_HOT_CSV)), None
    )
    folders: dict[str, str] = {}
    for name, label in zip(photos.names, photos.labels, strict=True):
        folder = name.partition("/")[0]
        known = label is not None and unicodedata.normalize("NFC", folder) == photos.class_names[label]
        if table is not None or not known or "/" not in name:
            where = one_line(table) if table is not None else "another file"
            raise EdgenetError(
                f"the classes of {photos.origin} come from {where}, not from folders", _LIST_INSTEAD
            )
        folders.setdefault(photos.class_names[label or 0], photos._prefix + folder)
    return folders


def _unchanged(decisions: Sequence[Decision], folder: _Folder) -> Iterator[Decision]:
    """Yield the decisions that are still to be carried out, after checking that their photos are unchanged."""
    for one in decisions:
        path = folder.root / one.file
        if one.file not in folder.classes:
            if _done_before(one, folder):
                continue
            raise EdgenetError(
                f"{one_line(one.file)} is not among the photos of {folder.root}",
                "give the folder that was trained with, or train again and review the new page",
            )
        if path.is_symlink() or not _is_inside(path, folder.root):
            raise EdgenetError(f"{one_line(one.file)} is a link to another place", _LIST_INSTEAD)
        if sha256(path) != one.sha256:
            raise EdgenetError(
                f"{one_line(one.file)} was changed after the page was made",
                "train again and review the new page",
            )
        yield one


def _is_inside(path: Path, root: Path) -> bool:
    return path.parent.resolve().is_relative_to(root)


def _done_before(one: Decision, folder: _Folder) -> bool:
    """Return whether an earlier call, perhaps an interrupted one, has moved this photo."""
    parts = PurePosixPath(one.file).parts
    if one.new_label is None:
        places = [folder.beside / one.file]
    else:
        homes = {classes[one.new_label] for classes in folder.classes.values() if one.new_label in classes}
        ends = [PurePosixPath(*parts[at:]) for at in range(1, len(parts))]
        places = [folder.root / home / end for home in homes for end in ends]
    names = [name for place in places for name in (place, _longer(place, one.label))]
    return any(name.is_file() and sha256(name) == one.sha256 for name in names)


@dataclass(frozen=True)
class _Move:
    """A photo's old place `file` within the data, its path, its new path, and the new place as it is shown."""

    file: str
    source: Path
    target: Path
    shown: str
    label: str
    to_class: bool

    @property
    def words(self) -> str:
        return "moved" if self.to_class else "set aside"

    @classmethod
    def of(cls, one: Decision, folder: _Folder) -> _Move:
        source = folder.root / one.file
        if one.new_label is None:
            target = folder.beside / one.file
            return cls(one.file, source, target, str(target), one.label, False)
        home = folder.classes[one.file].get(one.new_label)
        if home is None:
            raise EdgenetError(
                f"there is no class {one_line(one.new_label)} to move {one_line(one.file)} to",
                "make a folder for it with a photo, or train again and review the new page",
            )
        place = f"{home}/{folder.inside[one.file]}"
        if not _stays_inside(folder.root / place, folder.root):
            raise EdgenetError(f"the folder {one_line(home)} is a link to another place", _LIST_INSTEAD)
        return cls(one.file, source, folder.root / place, place, one.label, True)


def _stays_inside(path: Path, root: Path) -> bool:
    """Return whether a path whose folders may not exist yet lies in a folder, also after following links."""
    return _is_inside(path, root) if path.parent.exists() else path.resolve().is_relative_to(root)


def _with_places(moves: Sequence[_Move]) -> Iterator[_Move]:
    """Yield the moves with a longer name where the new place is taken.

    Raises:
        EdgenetError: the longer name is taken too.
    """
    taken: set[str] = set()
    for move in moves:
        for place in (move.target, _longer(move.target, move.label)):
            # Some file systems take "A.jpg" and "a.jpg" for one file.
            if not os.path.lexists(place) and str(place).casefold() not in taken:
                taken.add(str(place).casefold())
                shown = move.shown.removesuffix(move.target.name) + place.name
                yield _Move(move.file, move.source, place, shown, move.label, move.to_class)
                break
        else:
            raise EdgenetError(
                f"{one_line(move.shown)} exists already, so {one_line(move.file)} cannot be moved there",
                "rename one of the two photos, train again and review the new page",
            )


def _longer(path: Path, label: str) -> Path:
    """Return the name for a photo whose place is taken: "1.jpg" from the class bolt becomes "1 from bolt.jpg"."""
    plain = "".join(c if c.isalnum() or c in " -_." else "_" for c in label)[:60]
    return path.with_name(f"{path.stem} from {plain}{path.suffix}")


def _move(move: _Move, before: int) -> None:
    try:
        move.target.parent.mkdir(parents=True, exist_ok=True)
        # os.replace would overwrite a file that another program has put there meanwhile, so the place is taken first.
        os.close(os.open(move.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(move.source, move.target)
        except OSError:
            move.target.unlink()
            raise
    except OSError as error:
        done = f" (the {before} before it were)" if before else ""
        raise EdgenetError(
            f"{one_line(move.file)} could not be moved to {one_line(str(move.target))}{done}: {error.strerror}",
            f"mend that and run the same command again, or {_LIST_INSTEAD}",
        ) from None


def _emptied(folder: _Folder) -> tuple[str, ...]:
    homes = {home for classes in folder.classes.values() for home in classes.values()}
    return tuple(
        home
        for home in sorted(homes)
        if not any(is_photo_like(one.name) for one in (folder.root / home).rglob("*"))
    )
