"""The training photos: each is decoded once, checked, shrunk, and kept in memory while the budget lasts."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from device_scripts.photos import read_photo
from edgenet.data import PhotoSet
from edgenet.errors import EdgenetError

MARGIN = 1.25
"""Photos are kept this many times larger than the training resolution, so that crops are still detailed enough."""

_CHUNK = 32
_BLOCK = 1024


@dataclass(frozen=True)
class TrainingPhotos:
    """The readable photos, shrunk.

    Attributes:
        photoset: the files of these photos.
        labels: the class index of each photo, int64 [n].
        contents: the SHA-256 of each file, 32 bytes.
        skipped: (name, reason) of the photos that could not be read; they are left out of the other fields.
        side: the length that a longer shorter side of a photo is reduced to, pixels.
    """

    photoset: PhotoSet
    labels: np.ndarray
    contents: tuple[bytes, ...]
    skipped: tuple[tuple[str, str], ...]
    side: int
    _pixels: tuple[np.ndarray | None, ...]

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def in_memory(self) -> int:
        """The number of photos kept in memory; the others are decoded at each use."""
        return sum(pixels is not None for pixels in self._pixels)

    def pixels(self, index: int) -> np.ndarray:
        """Return one photo, uint8 BGR [height, width, 3]; the pixels are the same from memory as from the file."""
        kept = self._pixels[index]
        return kept if kept is not None else shrink(self.photoset.read(index), self.side)

    def take(self, indices: Sequence[int]) -> TrainingPhotos:
        """Return the photos at these indices, in this order."""
        return replace(
            self,
            photoset=self.photoset.take(indices),
            labels=self.labels[list(indices)],
            contents=tuple(self.contents[i] for i in indices),
            _pixels=tuple(self._pixels[i] for i in indices),
        )


def read_photos(
    photoset: PhotoSet, resolution: int, budget: int, progress: Callable[[int, int], None] | None = None
) -> TrainingPhotos:
    """Decode every photo once and keep as many as the budget allows.

    Args:
        photoset: the photos; all must have labels.
        resolution: the training resolution, pixels.
        budget: bytes for photos in memory; photos beyond it are decoded at each use.
        progress: called with the number of photos done and the number of all photos.

    Raises:
        EdgenetError: none of the photos can be read.
    """
    side = math.ceil(MARGIN * resolution)
    read: list[_Read | str] = []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for start in range(0, len(photoset), _BLOCK):
            stop = min(start + _BLOCK, len(photoset))
            chunks = [range(at, min(at + _CHUNK, stop)) for at in range(start, stop, _CHUNK)]
            for results in pool.map(lambda chunk: [_read(photoset, i, side) for i in chunk], chunks):
                for result in results:
                    used, budget = _within(result, budget)
                    read.append(used)
            if progress is not None:
                progress(stop, len(photoset))
    return _gathered(photoset, read, side)


def shrink(bgr: np.ndarray, side: int) -> np.ndarray:
    """Return the photo with its shorter side reduced to `side` pixels by area averaging, or unchanged if smaller."""
    height, width = bgr.shape[:2]
    factor = side / min(height, width)
    if factor >= 1:
        return bgr
    size = (max(side, round(width * factor)), max(side, round(height * factor)))
    return cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)


def memory_budget() -> int:
    """Return half of the memory that is free now, in bytes; 1 GiB where the system does not report it."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):  # AttributeError: Windows
        return 1 << 30


@dataclass(frozen=True)
class _Read:
    content: bytes
    pixels: np.ndarray | None


def _read(photoset: PhotoSet, index: int, side: int) -> _Read | str:
    """Return one photo, or the reason why it cannot be read."""
    try:
        data = photoset.read_bytes(index)
        return _Read(hashlib.sha256(data).digest(), shrink(read_photo(data, photoset.names[index]), side))
    except EdgenetError as error:
        return str(error)


def _within(result: _Read | str, budget: int) -> tuple[_Read | str, int]:
    if isinstance(result, str) or result.pixels is None:
        return result, budget
    size = result.pixels.nbytes
    return (result, budget - size) if size <= budget else (_Read(result.content, None), budget)


def _gathered(photoset: PhotoSet, read: list[_Read | str], side: int) -> TrainingPhotos:
    good = [(index, result) for index, result in enumerate(read) if isinstance(result, _Read)]
    skipped = [
        (photoset.names[index], reason) for index, reason in enumerate(read) if isinstance(reason, str)
    ]
    if not good:
        reason = skipped[0][1] if skipped else "there are none"
        raise EdgenetError(
            f"none of the {len(photoset)} photos in {photoset.origin} can be read: {reason}",
            "give other photos",
        )
    kept = photoset.take([index for index, _ in good])
    return TrainingPhotos(
        photoset=kept,
        labels=np.array(kept.labels, np.int64),
        contents=tuple(result.content for _, result in good),
        skipped=tuple(skipped),
        side=side,
        _pixels=tuple(result.pixels for _, result in good),
    )
