"""Decodes and preprocesses many photos in threads and in a fixed order, all at once or batch by batch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from device_scripts.preprocess import prepare
from edgenet.data.choose import evenly
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError

Progress = Callable[[int, int], None]
"""Called with the number of photos done and the number of all photos."""

BATCH = 64
FEW = 16
"""The batch size of `load_all`: at most so many photos are in memory twice while it copies them."""


@dataclass(frozen=True)
class Loaded:
    """Photos in the form that a network takes.

    Attributes:
        images: uint8 RGB [n, size, size, 3].
        labels: the class index of each photo; None for a photo without a label.
        names: the name of each photo.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
    """

    images: np.ndarray
    labels: tuple[int | None, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)


def load_all(
    photoset: PhotoSet, size: int, *, limit: int | None = None, progress: Progress | None = None
) -> Loaded:
    """Return all photos of a set at once, in the set's order. A photo of 224 pixels takes 150 kB.

    Args:
        photoset: the photos.
        size: side of the network's square input, pixels.
        limit: the number of photos to use, spread evenly over the set so that every class has its share; None uses all.
        progress: called after every batch.

    Raises:
        EdgenetError: none of the photos can be read, or `limit` is less than 1.
    """
    asked = len(photoset) if limit is None else min(limit, len(photoset))
    # Each batch is copied in as it arrives: joining them at the end would need twice the memory.
    images = np.empty((max(asked, 0), size, size, 3), np.uint8)
    labels: list[int | None] = []
    names: list[str] = []
    skipped: list[tuple[str, str]] = []
    for batch in load_batches(photoset, size, batch=FEW, limit=limit, progress=progress):
        images[len(names) : len(names) + len(batch)] = batch.images
        labels += batch.labels
        names += batch.names
        skipped += batch.skipped
    return Loaded(images[: len(names)], tuple(labels), tuple(names), tuple(skipped))


def load_batches(
    photoset: PhotoSet,
    size: int,
    *,
    batch: int = BATCH,
    limit: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Loaded]:
    """Yield the photos of a set in the set's order, `batch` at a time, or fewer if some cannot be read.

    Only one batch is in memory. While the caller works on it, nothing is decoded, because the caller needs the cores.

    Args:
        photoset: the photos.
        size: side of the network's square input, pixels.
        batch: the number of photos per batch.
        limit: the number of photos to use, spread evenly over the set; None uses all.
        progress: called after every batch.

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


def _gather(photoset: PhotoSet, size: int, indices: range, pool: ThreadPoolExecutor) -> Loaded:
    results = list(pool.map(lambda index: _load_one(photoset, size, index), indices))
    good = [
        (index, result) for index, result in zip(indices, results, strict=True) if not isinstance(result, str)
    ]
    return Loaded(
        images=np.concatenate([np.empty((0, size, size, 3), np.uint8), *(image for _, image in good)]),
        labels=tuple(photoset.labels[index] for index, _ in good),
        names=tuple(photoset.names[index] for index, _ in good),
        skipped=tuple(
            (photoset.names[index], reason)
            for index, reason in zip(indices, results, strict=True)
            if isinstance(reason, str)
        ),
    )


def _load_one(photoset: PhotoSet, size: int, index: int) -> np.ndarray | str:
    """Return one photo, uint8 RGB [1, size, size, 3], or the reason why it cannot be read."""
    try:
        return prepare(photoset.read(index), size)
    except EdgenetError as error:
        return str(error)
