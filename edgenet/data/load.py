"""Decoding and preprocessing many photos: in threads, in a fixed order, whole sets or a batch at a time."""

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
"""Called with the number of photos done and the number of all."""

BATCH = 64
FEW = 16
"""Photos that are there twice while a whole set is read."""


@dataclass(frozen=True)
class Loaded:
    """Photos as the network takes them.

    Attributes:
        images: uint8 RGB [n, size, size, 3].
        labels: the class index of each, None where it has no label.
        names: the name of each.
        skipped: (name, reason) of those that could not be read.
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
    """All photos of a set at once, in the set's order; 224 pixels take 150 kB a photo.

    Args:
        photoset: the photos.
        size: side of the network's square input, pixels.
        limit: use only so many, spread evenly over the set so that every class has its share.
        progress: told after every batch.

    Raises:
        EdgenetError: not one photo can be read, or `limit` is under 1.
    """
    asked = len(photoset) if limit is None else min(limit, len(photoset))
    # Filled as it comes: joining the batches at the end would need them twice.
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
    """The photos of a set in the set's order, `batch` at a time (fewer where some cannot be read).

    Only one batch is in memory. While the caller has it, nothing is decoded: the caller needs the cores then.

    Raises:
        EdgenetError: while iterating: at the end, not one photo could be read; or `limit` is under 1.
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
    """uint8 RGB [1, size, size, 3], or the reason why there is none."""
    try:
        return prepare(photoset.read(index), size)
    except EdgenetError as error:
        return str(error)
