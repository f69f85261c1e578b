"""Collect photos of one class in a folder, without blurred photos or near-duplicates."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, NamedTuple, Protocol

import cv2
import numpy as np

from .entry import write_whole
from .errors import EdgenetError
from .photo_quality import BLURRED_BELOW, SAME_BITS, difference_hash, looked_at, sharpness

QUALITY = 95
_LONGEST_LABEL = 80
BLURRED, ALIKE = "blurred: hold it still", "too similar to an earlier photo: show another side"


class Photo(NamedTuple):
    """A candidate photo: uint8 BGR [H,W,3] pixels, and the same picture as JPEG if it was already encoded."""

    pixels: np.ndarray
    jpeg: bytes | None = None


class Moments(Protocol):
    """Decides when to take a photo."""

    def due(self) -> bool:
        """Return whether to take a photo now."""
        ...

    def judged(self, kept: bool) -> None:
        """Take note of whether the photo was kept."""
        ...


def class_folder(data: Path, label: str) -> Path:
    """Return the folder of a class; create it if it is missing.

    Raises:
        EdgenetError: the label is not usable as a folder name, or the folder cannot be created.
    """
    plain = label.isprintable() and not any(c in label for c in '/\\:*?"<>|')
    if not plain or label != label.strip() or label[:1] in ("", ".", "-") or len(label) > _LONGEST_LABEL:
        raise EdgenetError(
            f"'{label[:_LONGEST_LABEL]}' cannot be the name of a class's folder",
            "use letters, digits, spaces, - and _, such as coffee-cup",
        )
    folder = data / label
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


class Collector:
    """Saves the offered photos that are sharp and unlike all earlier ones.

    Args:
        folder: from `class_folder`; new photos are compared with the JPEGs already there, too.

    Attributes:
        kept: number of photos kept so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes = [difference_hash(looked_at(pixels)) for pixels in _photos_in(folder)]
        self.kept = 0

    def offer(self, photo: Photo) -> Path | str:
        """Return the file the photo was written to, or the reason (BLURRED or ALIKE) why it was left out.

        Raises:
            EdgenetError: the file cannot be written.
        """
        grey = looked_at(photo.pixels)
        if sharpness(grey) < BLURRED_BELOW:
            return BLURRED
        found = difference_hash(grey)
        if any(int((found != other).sum()) <= SAME_BITS for other in self._hashes):
            return ALIKE
        jpeg = (
            photo.jpeg or cv2.imencode(".jpg", photo.pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        )
        path = self._free_path()
        write_whole(path, jpeg)
        self._hashes.append(found)
        self.kept += 1
        return path

    def _free_path(self) -> Path:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        number = 1
        while (path := self._folder / f"{stamp}-{number:03d}.jpg").exists():
            number += 1
        return path


def collect(
    photos: Iterable[Photo],
    collector: Collector,
    moments: Moments,
    say: Callable[[str], None],
    count: int | None = None,
) -> None:
    """Offer photos to the collector whenever one is due, until `count` are kept or the photos end.

    Args:
        say: called for every photo kept, and with the reason when one is left out; a reason is not repeated
            until a photo was kept or the reason changes.
    """
    said = ""
    for photo in photos:
        if not moments.due():
            continue
        result = collector.offer(photo)
        moments.judged(not isinstance(result, str))
        if isinstance(result, Path):
            say(f"{collector.kept}: {result}")
            said = ""
        elif result != said:
            say(result)
            said = result
        if collector.kept == count:
            return


class EverySeconds:
    """Takes a photo every few seconds; after one that was left out, the next frame is tried at once.

    Args:
        seconds: seconds between two kept photos; 0 takes every frame.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self) -> bool:
        """Return whether to take a photo now."""
        return time.monotonic() >= self._next

    def judged(self, kept: bool) -> None:
        """Start the pause before the next photo if this one was kept."""
        if kept:
            self._next = time.monotonic() + self._seconds


def _photos_in(folder: Path) -> Iterable[np.ndarray]:
    for path in sorted(folder.glob("*.jpg")):
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        if pixels is not None:
            yield pixels
