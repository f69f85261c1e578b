"""Collect photos of one class in a folder, without blurred photos or near-duplicates."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Callable, NamedTuple, Protocol

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.frames.photos import read_photo
from edgenet_device.output_files import write_atomically

QUALITY = 95
HASH_SIDE = 8
SHORT_SIDE = 240
BLURRED_BELOW = 40.0
"""A photo with a lower sharpness counts as blurred. Of 200 ImageNet photos 0.5 % lie below it; of those
photos blurred by a Gaussian of 1.5, 2 and 3 pixels (of SHORT_SIDE), 91.5, 99.5 and 100 % do. Motion blur of
9 pixels along one line is found in only a quarter of them."""
SAME_BITS = 3
"""Two photos count as alike if at most this many of their hashes' 64 bits differ, as noise alone can change
that many: with sigma 6 of 255, 95 % of 100 photos changed no more."""
_LONGEST_LABEL = 80
BLURRED, ALIKE = "blurred: hold it still", "too similar to an earlier photo: show another side"


class Photo(NamedTuple):
    """A candidate photo: uint8 BGR [H,W,3] pixels, and the same picture as JPEG if it was already encoded."""

    pixels: np.ndarray
    jpeg: bytes | None = None


class PhotoTrigger(Protocol):
    """Decides when to take a photo."""

    def is_due(self) -> bool:
        """Return whether to take a photo now."""
        ...

    def was_kept(self, kept: bool) -> None:
        """Take note of whether the photo was kept."""
        ...


def class_folder(data: Path, label: str) -> Path:
    """Return the folder of a class; create it if it is missing.

    Raises:
        EdgenetError: the label is not usable as a folder name, or the folder cannot be created.
    """
    folder = data / usable_label(label)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgenetError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder


def usable_label(label: str) -> str:
    """Return a label that somebody gave, if it can be the name of a class's folder.

    Raises:
        EdgenetError: it cannot: it is empty, too long, or could be a path, an option or a terminal's command.
    """
    plain = label.isprintable() and not any(c in label for c in '/\\:*?"<>|')
    if not plain or label != label.strip() or label[:1] in ("", ".", "-") or len(label) > _LONGEST_LABEL:
        raise EdgenetError(
            f"'{label[:_LONGEST_LABEL]}' cannot be the name of a class's folder",
            "use letters, digits, spaces, - and _, such as coffee-cup",
        )
    return label


class Collector:
    """Saves the offered photos that are sharp and unlike all earlier ones.

    Every collector is one capture session, and the names of its photos say when the session began, such as
    session-20260314-101500-001.jpg. Photos of one session show the same place in the same light, so a training
    never judges by some of them what it learned from the others.

    Args:
        folder: from `class_folder`; new photos are compared with the JPEGs already there, too.

    Attributes:
        kept: number of photos kept so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._session = time.strftime("session-%Y%m%d-%H%M%S")
        self._hashes = [difference_hash(measuring_grey(pixels)) for pixels in _photos_in(folder)]
        self.kept = 0

    def offer(self, photo: Photo) -> Path | str:
        """Return the file the photo was written to, or the reason (BLURRED or ALIKE) why it was left out.

        Raises:
            EdgenetError: the file cannot be written.
        """
        grey = measuring_grey(photo.pixels)
        if sharpness(grey) < BLURRED_BELOW:
            return BLURRED
        found = difference_hash(grey)
        if any(int((found != other).sum()) <= SAME_BITS for other in self._hashes):
            return ALIKE
        jpeg = (
            photo.jpeg or cv2.imencode(".jpg", photo.pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        )
        path = self._free_path()
        write_atomically(path, jpeg)
        self._hashes.append(found)
        self.kept += 1
        return path

    def _free_path(self) -> Path:
        number = self.kept + 1
        while (path := self._folder / f"{self._session}-{number:03d}.jpg").exists():
            number += 1
        return path


def collect(
    photos: Iterable[Photo],
    collector: Collector,
    trigger: PhotoTrigger,
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
        if not trigger.is_due():
            continue
        result = collector.offer(photo)
        trigger.was_kept(not isinstance(result, str))
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

    def is_due(self) -> bool:
        """Return whether to take a photo now."""
        return time.monotonic() >= self._next

    def was_kept(self, kept: bool) -> None:
        """Start the pause before the next photo if this one was kept."""
        if kept:
            self._next = time.monotonic() + self._seconds


def _photos_in(folder: Path) -> Iterable[np.ndarray]:
    for path in sorted(folder.glob("*.jpg")):
        with suppress(EdgenetError):  # a photo that cannot be read is like no other
            yield read_photo(path)


def measuring_grey(pixels: np.ndarray) -> np.ndarray:
    """Return a photo in the form that the two measures take: grey, its shorter side SHORT_SIDE pixels.

    Args:
        pixels: uint8 BGR [H,W,3].

    Returns:
        uint8 [height, width].
    """
    height, width = pixels.shape[:2]
    scale = SHORT_SIDE / min(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), size, interpolation=cv2.INTER_AREA)


def sharpness(grey: np.ndarray) -> float:
    """Return the variance of the Laplacian (Pech-Pacheco et al. 2000) of a photo from `measuring_grey`."""
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def difference_hash(grey: np.ndarray) -> np.ndarray:
    """Return, for each cell of an 8x8 grid, whether it is darker than the cell to its right.

    Args:
        grey: uint8 [height, width].

    Returns:
        bool [64].
    """
    small = cv2.resize(grey, (HASH_SIDE + 1, HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return (small[:, 1:] > small[:, :-1]).ravel()
