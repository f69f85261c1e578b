"""Chooses photos by their contents: the names and the order of the photos do not change the choice."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError


def evenly(total: int, n: int) -> list[int]:
    """Return `n` of the indices below `total`, rising and evenly spread, or all of them if `total` is at most `n`.

    Raises:
        EdgenetError: `n` is less than 1.
    """
    if n < 1:
        raise EdgenetError(f"asked for {n} photos", "ask for at least 1")
    return [position * total // n for position in range(n)] if n < total else list(range(total))


@dataclass(frozen=True)
class Choice:
    """The result of a choice.

    Attributes:
        photos: the chosen photos, followed by the spare ones.
        repeats: the number of files in the set that repeat the contents of an earlier file.
    """

    photos: PhotoSet
    repeats: int


def choose(photoset: PhotoSet, n: int, *, progress: Callable[[int, int], None] | None = None) -> PhotoSet:
    """Return `n` different photos of a set, in an order that depends only on their contents.

    Sorting by SHA-256 shuffles the photos independently of their names and folders. In that order, every (len / n)-th
    photo is taken. Files with equal contents count once. If the set has at most `n` different photos, all are taken.

    Args:
        photoset: the photos; every file is read.
        n: the number of photos to choose.
        progress: called with the number of files read and the number of all files.

    Raises:
        EdgenetError: `n` is less than 1, or a file cannot be read.
    """
    return choose_with_spare(photoset, n, 0, progress=progress).photos


def choose_with_spare(
    photoset: PhotoSet, n: int, spare: int, *, progress: Callable[[int, int], None] | None = None
) -> Choice:
    """Return the photos that `choose` takes, followed by up to `spare` others.

    The spare photos are chosen from the remaining different photos in the same evenly spread way.

    Raises:
        EdgenetError: `n` is less than 1, or a file cannot be read.
    """
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
    """Return a SHA-256 over the contents of a set's files, as 64 hexadecimal digits.

    It is the SHA-256 of the sorted SHA-256 values of the files, 32 bytes each, so names and order do not matter.

    Raises:
        EdgenetError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(sorted(content_hashes(photoset)))).hexdigest()


def content_hashes(photoset: PhotoSet, progress: Callable[[int, int], None] | None = None) -> list[bytes]:
    """Return the SHA-256 of every file of a set, 32 bytes each, in the set's order.

    Raises:
        EdgenetError: a file cannot be read.
    """
    hashes: list[bytes] = []
    # Threads help because hashing and reading release the global interpreter lock.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for content in pool.map(
            lambda i: hashlib.sha256(photoset.read_bytes(i)).digest(), range(len(photoset))
        ):
            hashes.append(content)
            if progress is not None and (len(hashes) % 64 == 0 or len(hashes) == len(photoset)):
                progress(len(hashes), len(photoset))
    return hashes
