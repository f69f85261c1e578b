"""Photos of one class into a folder: sharp ones, and no two alike."""

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
BLURRED, ALIKE = "blurred: hold it still", "like one that is there: show another side"


class Photo(NamedTuple):
    """A candidate: uint8 BGR [H,W,3], and the same as JPEG where that is there already."""

    pixels: np.ndarray
    jpeg: bytes | None = None


class Moments(Protocol):
    """Decides when a photo is wanted."""

    def due(self) -> bool:
        """Whether one is wanted now."""
        ...

    def judged(self, kept: bool) -> None:
        """What became of it."""
        ...


def class_folder(data: Path, label: str) -> Path:
    """The folder of a class; made where it is not there.

    Raises:
        EdgenetError: the label is no plain name of a folder, or the folder cannot be made.
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
    """Keeps the good ones of the photos that it is offered.

    Args:
        folder: from `class_folder`; what lies there already counts when photos are compared.

    Attributes:
        kept: how many so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hashes = [difference_hash(looked_at(pixels)) for pixels in _photos_in(folder)]
        self.kept = 0

    def offer(self, photo: Photo) -> Path | str:
        """The file it was written to, or why it was not.

        Raises:
            EdgenetError: it cannot be written.
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
    """Offers photos to the collector when they are wanted, until `count` are kept or they end.

    Args:
        say: told of every photo kept, and once why others are not.
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
    """A photo every so often; one that was no good is made up for at once.

    Args:
        seconds: 0 for every frame.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0

    def due(self) -> bool:
        """Whether one is wanted now."""
        return time.monotonic() >= self._next

    def judged(self, kept: bool) -> None:
        """What became of it."""
        if kept:
            self._next = time.monotonic() + self._seconds


def _photos_in(folder: Path) -> Iterable[np.ndarray]:
    for path in sorted(folder.glob("*.jpg")):
        pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        if pixels is not None:
            yield pixels
