"""What photos look like: thumbnails, which are kept in edgenet's cache, and marks of blurred, repeated and broken ones.

A thumbnail's file is named by its photo's path, size and time of change, and by what was measured, so that a listing
of the folder says everything:

    KEY-SHARPNESS-HASH.jpg   KEY-unreadable.jpg (empty)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from edgenet_device.collecting.collector import (
    BLURRED_BELOW,
    SAME_BITS,
    difference_hash,
    measuring_grey,
    sharpness,
)
from edgenet_device.frames.photos import read_photo

from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, make_folder, sha256

SIDE = 240
"""The shorter side of a thumbnail, pixels: sharp on a screen with two pixels for each of a card's 120."""
_QUALITY = 80
_UNREADABLE = "unreadable"
_LARGE_SIDE = 1280


@dataclass(frozen=True)
class Look:
    """What was measured of one photo.

    Attributes:
        sharpness: the variance of its Laplacian; None for a file that is no readable photo.
        hash: its difference hash, 64 bits.
    """

    sharpness: float | None
    hash: int = 0

    @property
    def blurred(self) -> bool:
        """Whether it counts as blurred, by the measure of `edgenet capture`."""
        return self.sharpness is not None and self.sharpness < BLURRED_BELOW


class Looks:
    """The thumbnails and marks of all photos of a studio.

    Args:
        root: the studio's folder; each has thumbnails of its own.
        measured: called, seldom, while photos are being measured.
        cache: the folder for the thumbnails; by default one in edgenet's cache.
    """

    def __init__(self, root: Path, measured: Callable[[], None], cache: Path | None = None) -> None:
        name = sha256(os.fsencode(root.resolve()))[:16]
        self._folder = cache or cache_folder() / "studio" / name
        self._measured = measured
        self._known: dict[str, Look] = {}
        self._files: dict[str, str] = {}
        self._asked: set[str] = set()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1)  # the other core is for the page and for teaching
        make_folder(self._folder)
        for entry in os.scandir(self._folder):
            self._take(entry.name)

    def close(self) -> None:
        """Measure no more photos."""
        self._pool.shutdown(cancel_futures=True)

    def of(self, path: Path, size: int, changed_ns: int) -> Look | None:
        """Return what was measured of a photo; None if it is not measured yet, which happens soon afterwards."""
        key = _key(path, size, changed_ns)
        found = self._known.get(key)
        if found is None:
            with self._lock:
                if key not in self._asked:
                    self._asked.add(key)
                    self._pool.submit(self._measure_later, path, key)
        return found

    def thumbnail(self, path: Path) -> bytes:
        """Return the JPEG of a photo's thumbnail.

        Raises:
            EdgenetError: the photo cannot be read.
        """
        stat = path.stat()
        key = _key(path, stat.st_size, stat.st_mtime_ns)
        if key not in self._files:
            return self._measure(path, key)
        try:
            return (self._folder / self._files[key]).read_bytes() or self._measure(path, key)
        except OSError:  # somebody emptied the cache
            return self._measure(path, key)

    def _measure_later(self, path: Path, key: str) -> None:
        try:
            if key not in self._known:
                self._measure(path, key)
        except (EdgenetError, OSError):
            pass  # it is marked, or it is gone
        with self._lock:
            self._asked.discard(key)
            last = not self._asked
        if last or len(self._known) % 100 == 0:
            self._measured()

    def _measure(self, path: Path, key: str) -> bytes:
        try:
            pixels = read_photo(path, path.name)
        except EdgenetError:
            self._keep(f"{key}-{_UNREADABLE}.jpg", b"")
            raise
        return self._write(key, pixels)

    def learn(self, path: Path, pixels: np.ndarray) -> None:
        """Measure a photo that was decoded anyway, uint8 BGR [H,W,3]."""
        stat = path.stat()
        self._write(_key(path, stat.st_size, stat.st_mtime_ns), pixels)

    def _write(self, key: str, pixels: np.ndarray) -> bytes:
        grey = measuring_grey(pixels)
        bits = int("".join("1" if bit else "0" for bit in difference_hash(grey)), 2)
        data = jpeg_of(pixels, SIDE, _QUALITY, shorter=True)
        self._keep(f"{key}-{sharpness(grey):.2f}-{bits:016x}.jpg", data)
        return data

    def _keep(self, name: str, data: bytes) -> None:
        self._take(name)
        hidden = self._folder / f".{name}"
        try:
            # Unlike a user's file, a thumbnail need not survive a power cut: it is not synced to the disk.
            hidden.write_bytes(data)
            os.replace(hidden, self._folder / name)
        except OSError:  # without the cache a thumbnail is only slower
            self._files.pop(name.partition("-")[0], None)

    def _take(self, name: str) -> None:
        key, _, rest = name.removesuffix(".jpg").partition("-")
        measured, _, bits = rest.partition("-")
        try:
            look = Look(None) if rest == _UNREADABLE else Look(float(measured), int(bits, 16) & (1 << 64) - 1)
        except ValueError:  # it is none of ours
            return
        self._known[key], self._files[key] = look, name


def _key(path: Path, size: int, changed_ns: int) -> str:
    return sha256(os.fsencode(f"{path.parent.name}/{path.name}/{size}/{changed_ns}"))[:32]


def jpeg_of(pixels: np.ndarray, side: int, quality: int = 90, shorter: bool = False) -> bytes:
    """Return a JPEG of a photo, uint8 BGR [H,W,3], whose longer (or shorter) side is at most `side` pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / (min if shorter else max)(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = pixels if scale == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def large_jpeg(path: Path) -> bytes:
    """Return a photo as a JPEG that fits a screen, whatever format its file has.

    Raises:
        EdgenetError: it cannot be read.
    """
    return jpeg_of(read_photo(path, path.name), _LARGE_SIDE)


def repeated(looks: Sequence[Look | None]) -> list[bool]:
    """Return for each photo of a class whether it looks like an earlier one of them."""
    rows = [index for index, look in enumerate(looks) if look is not None and look.sharpness is not None]
    marks = [False] * len(looks)
    if not rows:
        return marks
    hashes = np.array([one.hash for one in looks if one is not None and one.sharpness is not None], np.uint64)
    # As vectors of 1 and -1, two hashes that differ in d bits have the dot product 64 - 2 d.
    signs = 2 * np.unpackbits(hashes[:, None].view(np.uint8), axis=1).astype(np.float32) - 1
    for start in range(0, len(rows), 512):  # so that a block of products fits the memory
        block = signs[start : start + 512]
        alike = block @ signs[: start + 512].T >= 64 - 2 * SAME_BITS
        alike[:, start:] = np.tril(alike[:, start:], -1)  # only earlier ones count
        found = np.asarray(alike.any(axis=1))
        for row, mark in zip(rows[start : start + 512], found, strict=True):
            marks[row] = bool(mark)
    return marks
