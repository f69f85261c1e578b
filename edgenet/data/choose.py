"""Choosing photos by what they are: the same photos under any names, in any order, give the same choice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError


def evenly(total: int, n: int) -> list[int]:
    """`n` of the indices below `total`, rising and evenly spread; all of them if there are not more.

    Raises:
        EdgenetError: `n` is under 1.
    """
    if n < 1:
        raise EdgenetError(f"asked for {n} photos", "ask for at least 1")
    return [position * total // n for position in range(n)] if n < total else list(range(total))


@dataclass(frozen=True)
class Choice:
    """Attributes:
    photos: those that were chosen, then the spare ones.
    repeats: files of the set whose contents another file has too.
    """

    photos: PhotoSet
    repeats: int


def choose(photoset: PhotoSet, n: int, *, progress: Callable[[int, int], None] | None = None) -> PhotoSet:
    """`n` different photos of a set, in an order that only their contents decide.

    Sorting by SHA-256 shuffles the photos in a way that names and folders cannot influence; from that order every
    (len / n)-th is taken. A file that is there twice counts once. With `n` or fewer different photos it is all of them.

    Args:
        photoset: the photos; every file is read.
        n: how many.
        progress: told how many of how many files are read.

    Raises:
        EdgenetError: `n` is under 1, or a file cannot be read.
    """
    return choose_with_spare(photoset, n, 0, progress=progress).photos


def choose_with_spare(
    photoset: PhotoSet, n: int, spare: int, *, progress: Callable[[int, int], None] | None = None
) -> Choice:
    """What `choose` takes, and behind it up to `spare` of the different photos that are left, evenly spread too."""
    first_with: dict[bytes, int] = {}
    for index, content in enumerate(content_hashes(photoset, progress)):
        first_with.setdefault(content, index)
    ordered = [first_with[content] for content in sorted(first_with)]
    chosen = evenly(len(ordered), n)
    left = sorted(set(range(len(ordered))) - set(chosen))
    beside = [left[i] for i in evenly(len(left), spare)] if spare else []
    photos = photoset.take([ordered[i] for i in chosen + beside])
    return Choice(photos, len(photoset) - len(ordered))


def digest(photoset: PhotoSet) -> str:
    """SHA-256 over the contents of a set's files as 64 hexadecimal digits; names and order do not matter.

    It is the SHA-256 of the sorted SHA-256 values, 32 bytes each, one per file.

    Raises:
        EdgenetError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(sorted(content_hashes(photoset)))).hexdigest()


def content_hashes(photoset: PhotoSet, progress: Callable[[int, int], None] | None = None) -> list[bytes]:
    """The SHA-256 of every file of a set, 32 bytes each, in the set's order.

    Raises:
        EdgenetError: a file cannot be read.
    """
    hashes: list[bytes] = []
    # hashlib and reading let other threads run meanwhile.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for content in pool.map(
            lambda i: hashlib.sha256(photoset.read_bytes(i)).digest(), range(len(photoset))
        ):
            hashes.append(content)
            if progress is not None and (len(hashes) % 64 == 0 or len(hashes) == len(photoset)):
                progress(len(hashes), len(photoset))
    return hashes
