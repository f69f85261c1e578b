"""Chooses photos of a set by their contents, and prepares photos for a network: all at once or batch by batch.

The photos are decoded and preprocessed in threads, and come out in a fixed order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from edgenet_device.frames.photos import read_photo
from edgenet_device.preprocess import Size, height_and_width, prepare

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.progress import StageProgress

BATCH = 64
LOAD_ALL_BATCH = 16
"""The batch size of `load_all`: at most so many photos are in memory twice while it copies them."""


@dataclass(frozen=True)
class PreparedPhotos:
    """Photos in the form that a network takes.

    Attributes:
        images: uint8 RGB [n, height, width, 3].
        labels: the class index of each photo; None for a photo without a label.
        names: the name of each photo.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
        contents: the SHA-256 of each photo's file, 32 bytes.
    """

    images: np.ndarray
    labels: tuple[int | None, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    contents: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.names)


def load_all(
    photoset: PhotoSet, size: Size, *, limit: int | None = None, progress: StageProgress | None = None
) -> PreparedPhotos:
    """Return all photos of a set at once, in the set's order. A photo of 224 pixels takes 150 kB.

    Args:
        photoset: the photos.
        size: side of the network's square input, or its (height, width), pixels.
        limit: the number of photos to use, spread evenly over the set so that every class has its share; None uses all.
        progress: called after every batch, with the numbers of photos.

    Raises:
        EdgenetError: none of the photos can be read, or `limit` is less than 1.
    """
    asked = len(photoset) if limit is None else min(limit, len(photoset))
    # Each batch is copied in as it arrives: joining them at the end would need twice the memory.
    images = np.empty((max(asked, 0), *height_and_width(size), 3), np.uint8)
    labels: list[int | None] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    contents: list[bytes] = []
    for batch in load_batches(photoset, size, batch=LOAD_ALL_BATCH, limit=limit, progress=progress):
        images[len(names) : len(names) + len(batch)] = batch.images
        labels += batch.labels
        names += batch.names
        skipped += batch.skipped
        contents += batch.contents
    return PreparedPhotos(images[: len(names)], tuple(labels), tuple(names), tuple(skipped), tuple(contents))


def load_batches(
    photoset: PhotoSet,
    size: Size,
    *,
    batch: int = BATCH,
    limit: int | None = None,
    progress: StageProgress | None = None,
) -> Iterator[PreparedPhotos]:
    """Yield the photos of a set in the set's order, `batch` at a time, or fewer if some cannot be read.

    Only one batch is in memory. While the caller works on it, nothing is decoded, because the caller needs the cores.

    Args:
        photoset: the photos.
        size: side of the network's square input, or its (height, width), pixels.
        batch: the number of photos per batch.
        limit: the number of photos to use, spread evenly over the set; None uses all.
        progress: called after every batch, with the numbers of photos.

    Raises:
        EdgenetError: while iterating: `limit` is less than 1, or, at the end, none of the photos could be read.
    """
    if limit is not None:
        photoset = photoset.take(evenly(len(photoset), limit))
    read, first_reason = 0, ""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(photoset), batch):
            indices = range(start, min(start + batch, len(photoset)))
            loaded = _gather(photoset, size, indices, pool)
            if progress is not None:
                progress(indices.stop, len(photoset))
            read += len(loaded)
            if loaded.skipped and not first_reason:
                first_reason = loaded.skipped[0][1]
            yield loaded
    if not read:
        raise EdgenetError(
            f"none of the {len(photoset)} photos in {photoset.origin} can be read: {first_reason}",
            "give other photos",
        )


def _gather(photoset: PhotoSet, size: Size, indices: range, pool: ThreadPoolExecutor) -> PreparedPhotos:
    results = list(pool.map(lambda index: _load_one(photoset, size, index), indices))
    good = [
        (index, result) for index, result in zip(indices, results, strict=True) if not isinstance(result, str)
    ]
    return PreparedPhotos(
        images=np.concatenate(
            [np.empty((0, *height_and_width(size), 3), np.uint8), *(one.pixels for _, one in good)]
        ),
        labels=tuple(photoset.labels[index] for index, _ in good),
        names=tuple(photoset.names[index] for index, _ in good),
        skipped=tuple(
            (photoset.names[index], reason)
            for index, reason in zip(indices, results, strict=True)
            if isinstance(reason, str)
        ),
        contents=tuple(one.content for _, one in good),
    )


@dataclass(frozen=True)
class _Loaded:
    """One photo, uint8 RGB [1, height, width, 3], and the SHA-256 of its file."""

    pixels: np.ndarray
    content: bytes


def _load_one(photoset: PhotoSet, size: Size, index: int) -> _Loaded | str:
    """Return one photo, or the reason why it cannot be read."""
    try:
        data = photoset.read_bytes(index)
        pixels = prepare(read_photo(data, photoset.names[index]), size)
        return _Loaded(pixels, hashlib.sha256(data).digest())
    except EdgenetError as error:
        return str(error)


@dataclass(frozen=True)
class Choice:
    """The result of a choice.

    Attributes:
        photos: the chosen photos, followed by the spare ones.
        repeats: the number of files in the set that repeat the contents of an earlier file.
    """

    photos: PhotoSet
    repeats: int


def choose(photoset: PhotoSet, n: int, *, progress: StageProgress | None = None) -> PhotoSet:
    """Return `n` different photos of a set, in an order that depends only on their contents.

    The names and the order of the photos do not change the choice: sorting by SHA-256 shuffles the photos independently
    of both. In that order, every (len / n)-th photo is taken. Files with equal contents count once. If the set has at
    most `n` different photos, all are taken.

    Args:
        photoset: the photos; every file is read.
        n: the number of photos to choose.
        progress: called with the number of files read and the number of all files.

    Raises:
        EdgenetError: `n` is less than 1, or a file cannot be read.
    """
    return choose_with_spare(photoset, n, 0, progress=progress).photos


def choose_with_spare(
    photoset: PhotoSet, n: int, spare: int, *, progress: StageProgress | None = None
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
    spares = [left[i] for i in evenly(len(left), spare)] if spare else []
    photos = photoset.take([ordered[i] for i in chosen + spares])
    return Choice(photos, len(photoset) - len(ordered))


def evenly(total: int, n: int) -> list[int]:
    """Return `n` of the indices below `total`, rising and evenly spread, or all of them if `total` is at most `n`.

    Raises:
        EdgenetError: `n` is less than 1.
    """
    if n < 1:
        raise EdgenetError(f"asked for {n} photos", "ask for at least 1")
    return [position * total // n for position in range(n)] if n < total else list(range(total))


def contents_digest(photoset: PhotoSet) -> str:
    """Return a SHA-256 over the contents of a set's files, as 64 hexadecimal digits.

    It is the SHA-256 of the sorted SHA-256 values of the files, 32 bytes each, so names and order do not matter.

    Raises:
        EdgenetError: a file cannot be read.
    """
    return hashlib.sha256(b"".join(sorted(content_hashes(photoset)))).hexdigest()


def content_hashes(photoset: PhotoSet, progress: StageProgress | None = None) -> list[bytes]:
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


def readable_hashes(photoset: PhotoSet) -> dict[int, bytes]:
    """Return the SHA-256 of every file of a set that can be read, 32 bytes each, by its index in the set."""

    def one(index: int) -> bytes | None:
        try:
            return hashlib.sha256(photoset.read_bytes(index)).digest()
        except EdgenetError:  # whoever decodes the photo reports it
            return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = enumerate(pool.map(one, range(len(photoset))))
        return {index: content for index, content in found if content is not None}
