"""Moving photos between classes and into the bin, renaming and removing classes, and emptying the bin.

Only `empty_bin` deletes anything. All else is a renaming of files within the studio's folder, which the page can undo.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgenet.data.file_account import is_photo_like
from edgenet.errors import EdgenetError, one_line
from edgenet.files import make_folder
from edgenet.studio_app.incoming import names_like, rename_to_free
from edgenet.studio_app.places import PhotoName, Places, safe_parts


@dataclass(frozen=True)
class Move:
    """A photo's place and the new one; the new name is a wish, which is made longer if it is taken."""

    source: PhotoName
    target: PhotoName


@dataclass(frozen=True)
class Moved:
    """What became of a request to move photos.

    Attributes:
        done: the moves that were made, with the names that the photos have now.
        failed: (name, reason) of the photos that could not be moved.
    """

    done: tuple[Move, ...]
    failed: tuple[tuple[str, str], ...]


def move_photos(places: Places, moves: Sequence[Move]) -> Moved:
    """Move photos one after the other; one that cannot be moved does not keep the others from it."""
    done: list[Move] = []
    failed: list[tuple[str, str]] = []
    for move in moves:
        try:
            done.append(_move(places, move))
        except EdgenetError as error:
            failed.append((one_line(move.source.name), str(error)))
    return Moved(tuple(done), tuple(failed))


def _move(places: Places, move: Move) -> Move:
    source, target = places.path(move.source), move.target
    # A label is used as a path only if it is that of a folder, or if `new_class` takes it.
    if target.binned and target.label not in (move.source.label, *places.labels()):
        raise EdgenetError(f"there is no class '{target.label[:80]}' any more", "look at the classes again")
    home = places.bin / target.label if target.binned else places.new_class(target.label)
    inner = safe_parts(target.name)
    if not is_photo_like(inner[-1]):
        raise EdgenetError(f"{one_line(target.name)} is not the name of a photo", "load the page again")
    folder = home.joinpath(*inner[:-1])
    make_folder(folder)
    path = _rename(source, folder, inner[-1], move.source.name)
    name = PurePosixPath(*inner[:-1], path.name).as_posix()
    return Move(move.source, PhotoName(target.label, name, target.binned))


def _rename(source: Path, folder: Path, name: str, known_as: str) -> Path:
    """Move a file into a folder, under this name or a longer one."""
    for path in names_like(folder, name):
        try:
            rename_to_free(source, path)
            return path
        except FileExistsError:
            continue
        except OSError as error:
            raise EdgenetError(
                f"{one_line(known_as)} cannot be moved: {error.strerror}", "check the folder's permissions"
            ) from None
    raise AssertionError("there is always a next number")


def rename_class(places: Places, label: str, new_label: str) -> None:
    """Give a class another name.

    Raises:
        EdgenetError: there is no such class, there is one of the new name already, or the name cannot be used.
    """
    source = places.class_folder(label)
    if new_label == label:
        return
    if new_label in places.labels():
        raise EdgenetError(f"there is a class {new_label} already", "move the photos there instead")
    target = places.new_class(new_label)  # it checks the name
    try:
        os.rename(source, target)  # over the empty folder that was just made
    except OSError as error:
        raise EdgenetError(f"{label} cannot be renamed: {error.strerror}", "check its permissions") from None


def remove_class(places: Places, label: str) -> Moved:
    """Put all photos of a class into the bin, and remove its folder if nothing else is in it.

    Raises:
        EdgenetError: there is no such class.
    """
    names = places.names(label)
    moved = move_photos(
        places, [Move(PhotoName(label, name), PhotoName(label, name, True)) for name in names]
    )
    _remove_empty(places.class_folder(label))
    return moved


def empty_bin(places: Places, count: int) -> int:
    """Delete the photos in the bin, for good, and return their number.

    Args:
        count: how many photos the user has agreed to delete.

    Raises:
        EdgenetError: the bin holds another number of photos now, or one cannot be deleted.
    """
    found = [
        places.path(PhotoName(label, name, True))
        for label in places.labels(binned=True)
        for name in places.names(label, binned=True)
    ]
    if len(found) != count:
        raise EdgenetError(f"the bin holds {len(found)} photos now, not {count}", "look at it again")
    for path in found:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise EdgenetError(
                f"{one_line(path.name)} cannot be deleted: {error.strerror}", "check its permissions"
            ) from None
    for label in places.labels(binned=True):
        _remove_empty(places.bin / label)
    return len(found)


def _remove_empty(folder: Path) -> None:
    """Remove a folder and the folders in it, as far as there are no files in them."""
    for place, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(place)
        except OSError:  # something is in it
            continue
