"""Reads photos in the same way on the device, for calibration and for evaluation.

Every photo becomes uint8 BGR [height, width, 3].

- Grey photos get three equal channels; CMYK is converted; 16 bits are reduced to 8 (the high byte).
- Transparency is dropped, not blended: the colour stored under it is used. Pillow's `convert("RGB")` and
  OpenCV's colour mode do the same, and so a network saw that colour in training.
- The rotation written by the camera is applied: to JPEG, HEIC and AVIF always, to PNG and WebP only with OpenCV 5.
- HEIC, the format of iPhones, needs the package pillow-heif, which is imported by name, and only when the first such
  photo comes; GIF, AVIF and animated WebP need OpenCV 5.
- Of an animation (GIF, WebP, APNG, AVIF) the first frame is used, and of a file of several pages the first page.
- A JPEG whose shorter side is at least 2048 pixels is decoded at 1/2, 1/4 or 1/8 (libjpeg's scaled inverse
  DCT), so that the shorter side stays at least 1024: 100 megapixels then take 5 MB instead of 300.
- A photo is refused if it ends early, is damaged or empty, has a side under 4 pixels or more than 100 million pixels
  to decode, or is not a photo at all.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections import Counter
from pathlib import Path
from typing import Any, Union

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.frames.photo_structure import (
    IncompletePhotoError,
    Size,
    is_avif,
    is_heic,
    stated_size,
    turned,
)
from edgenet_device.streams import quiet_native_stderr

_FIELD_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".webp",
    ".bmp",
    ".tif",
    ".tiff",
    ".gif",
    ".avif",
)
PHOTO_SUFFIXES = frozenset((*_FIELD_SUFFIXES, ".jp2", ".ppm", ".pgm", ".pnm"))
MIN_SIDE = 4
MIN_REDUCED_SIDE = 1024
MAX_PIXELS = 100_000_000
"""The most pixels to decode, which take 300 MB; a small file can state many more."""
MAX_BYTES = 1 << 28
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"P5", b"P6")
_SMALL_ENOUGH = (b"\xff\xd8", b"BM")
"""A JPEG without a size is refused by the decoder, and a BMP without one is too short; a WebP has at most 16,383 pixels
on a side."""
Source = Union[str, "os.PathLike[str]", bytes]


def read_photo(source: Source, name: str | None = None, least_side: int = MIN_REDUCED_SIDE) -> np.ndarray:
    """Decode one photo.

    Args:
        source: the path of a file, or its bytes.
        name: what error messages call the photo; by default the path, or "the photo" for bytes.
        least_side: how short, in pixels, a JPEG's shorter side may become by decoding it at 1/2, 1/4 or 1/8.
            All that judges or calibrates a network keeps the default, because other values change the pixels;
            training gives less, to save time.

    Returns:
        uint8 BGR [height, width, 3], contiguous, at least 4 pixels on each side.

    Raises:
        EdgenetError: the photo is missing, unreadable, empty, truncated, damaged, not a photo, too small or
            too large.
    """
    if isinstance(source, bytes):
        return _decode(source, name or "the photo", least_side)
    path = Path(source)
    return _decode(_read_bytes(path, name or str(path)), name or str(path), least_side)


def list_photos(folder: Path | str) -> list[Path]:
    """Return all photos in a folder and its subfolders, sorted by path.

    Photos are recognized by suffix. Hidden files and folders, whose names begin with a dot, are left out.

    Raises:
        EdgenetError: the folder is missing, not a folder, unreadable, or holds no photo.
    """
    folder = Path(folder)
    if not folder.exists():
        raise EdgenetError(f"{folder} does not exist", "give a folder of photos")
    if not folder.is_dir():
        raise EdgenetError(f"{folder} is not a folder", "give a folder of photos")
    photos: list[Path] = []
    others: Counter[str] = Counter()
    readable = readable_suffixes()
    for place, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            if file.startswith("."):
                continue
            if suffix in readable:
                photos.append(Path(place, file))
            else:
                others[suffix or "no suffix"] += 1
    if not photos:
        remedy = HEIC_WAY_OUT if HEIC_SUFFIXES & set(others) else "put JPEG or PNG files there"
        raise EdgenetError(f"no photo in {folder} ({_describe(others)})", remedy)
    return sorted(photos)


def readable_suffixes() -> frozenset[str]:
    """Return the endings, in lower case, of the photo files that can be read here."""
    return PHOTO_SUFFIXES | HEIC_SUFFIXES if heic_is_readable() else PHOTO_SUFFIXES


def starts_like_photo(head: bytes) -> bool:
    """Return whether the first 16 bytes of a file belong to a photo format."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return head.startswith(_PHOTO_STARTS) or is_webp or is_heic(head) or is_avif(head)


def _cannot_list(error: OSError) -> None:
    raise EdgenetError(f"cannot list {error.filename}: {error.strerror}", "check its permissions") from error


def _describe(others: Counter[str]) -> str:
    if not others:
        return "it is empty"
    return "other files there: " + ", ".join(f"{count} {suffix}" for suffix, count in others.most_common(3))


def _read_bytes(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise EdgenetError(f"{name} is a folder, not a photo", "give a photo in it")
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            raise EdgenetError(f"{name} is not a regular file", "give a photo")
        if path.stat().st_size > MAX_BYTES:
            raise EdgenetError(f"{name} is larger than {MAX_BYTES >> 20} MiB", "export it as JPEG")
        return path.read_bytes()
    except FileNotFoundError:
        raise EdgenetError(f"{name} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(f"cannot read {name}: {error.strerror}", "check its permissions") from error


def _decode(data: bytes, name: str, least_side: int) -> np.ndarray:
    if not data:
        raise EdgenetError(f"{name} is empty (0 bytes)", "copy it again")
    try:
        size = stated_size(data)
    except IncompletePhotoError as fault:
        raise EdgenetError(
            f"{name} is truncated or damaged: {fault}", "copy it again or leave it out"
        ) from None
    if size is None and not (data.startswith(_SMALL_ENOUGH) or data[8:12] == b"WEBP" or is_heic(data)):
        raise _undecodable(data, name)  # what OpenCV would make of it could be of any size
    factor = _factor(data, size, least_side)
    _refuse_extremes(size, factor, name)
    if is_heic(data):
        return _decode_heic(data, name)
    flags = _REDUCED.get(factor, cv2.IMREAD_COLOR)
    if is_avif(data):
        flags |= cv2.IMREAD_IGNORE_ORIENTATION  # `turned` applies it
    pixels = _imdecode(data, flags, name)
    if pixels is None:
        raise _undecodable(data, name)
    pixels = turned(pixels, data)
    height, width = pixels.shape[:2]
    _refuse_extremes((width, height), 1, name)
    return np.ascontiguousarray(pixels)


def _imdecode(data: bytes, flags: int, name: str) -> np.ndarray | None:
    with quiet_native_stderr():
        try:
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except (cv2.error, MemoryError) as error:
            reason = getattr(error, "err", "") or "not enough memory"
            raise EdgenetError(f"{name} cannot be decoded: {reason}", "export it as JPEG or PNG") from error


def _factor(data: bytes, size: Size, least_side: int) -> int:
    """Return the largest of 8, 4, 2 that leaves a JPEG's shorter side at least `least_side`, else 1."""
    if size is None or not data.startswith(b"\xff\xd8"):
        return 1  # other formats would be decoded at full size and only then reduced, which saves nothing
    return next((factor for factor in _REDUCED if min(size) // factor >= least_side), 1)


def _refuse_extremes(size: Size, factor: int, name: str) -> None:
    if size is None:
        return
    width, height = size
    if min(size) < MIN_SIDE:
        raise EdgenetError(
            f"{name} is {width}x{height} pixels; a photo needs at least {MIN_SIDE} on each side",
            "leave it out",
        )
    if (width // factor) * (height // factor) > MAX_PIXELS:
        raise EdgenetError(
            f"{name} is {width}x{height} pixels, too many to decode", "export it smaller or as JPEG"
        )


def _decode_heic(data: bytes, name: str) -> np.ndarray:
    photo = HeicPhoto(data, name)
    _refuse_extremes(photo.size, 1, name)
    return np.ascontiguousarray(photo.decode())


def _undecodable(data: bytes, name: str) -> EdgenetError:
    kinds = {"GIF": data.startswith(b"GIF8"), "WebP": data[8:12] == b"WEBP", "AVIF": is_avif(data)}
    kind = next((kind for kind, found in kinds.items() if found), None)
    if kind is not None and int(cv2.__version__.split(".")[0]) < 5:
        return EdgenetError(
            f"{name} is {kind}, and OpenCV {cv2.__version__} does not decode it",
            "pip install --upgrade opencv-python, or export it as JPEG or PNG",
        )
    found = f"{kind}, but damaged or of a kind that OpenCV cannot decode" if kind else ""
    return EdgenetError(
        f"{name} is {found or 'not a photo that OpenCV can decode'}", "export it as JPEG or PNG"
    )


HEIC_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
HEIC_PACKAGE = "pillow_heif"
HEIC_WAY_OUT = "pip install pillow-heif, or export the photos as JPEG"
_HEIC_DAMAGE = (ValueError, RuntimeError, OSError, EOFError, SyntaxError, LookupError)
"""What the package raises for damaged files."""


def heic_is_readable() -> bool:
    """Return whether the package that reads HEIC is installed."""
    return importlib.util.find_spec(HEIC_PACKAGE) is not None


class HeicPhoto:
    """A HEIC file that was opened but not decoded yet.

    Attributes:
        size: (width, height) in pixels, after the turn that the file states.

    Raises:
        EdgenetError: the package is not installed, or the file is damaged.
    """

    def __init__(self, data: bytes, name: str) -> None:
        if not heic_is_readable():
            raise EdgenetError(
                f"{name} is HEIC, the format of iPhones, and no package here reads it", HEIC_WAY_OUT
            )
        self._name = name
        try:
            self._image: Any = importlib.import_module(HEIC_PACKAGE).open_heif(
                data, convert_hdr_to_8bit=True, bgr_mode=True
            )
            self.size: tuple[int, int] = self._image.size
        except ImportError as error:
            raise EdgenetError(
                f"{name} is HEIC, and pillow-heif does not start: {error}", HEIC_WAY_OUT
            ) from error
        except _HEIC_DAMAGE as error:
            raise self._damaged(error) from error

    def decode(self) -> np.ndarray:
        """Return the pixels, uint8 BGR [height, width, 3], turned as the file says; transparency is dropped.

        Raises:
            EdgenetError: the file is damaged, or memory does not suffice.
        """
        try:
            pixels = np.asarray(self._image)
        except (*_HEIC_DAMAGE, MemoryError) as error:
            raise self._damaged(error) from error
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]

    def _damaged(self, error: Exception) -> EdgenetError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return EdgenetError(
            f"{self._name} is HEIC and is truncated or damaged: {reason}", "copy it again or leave it out"
        )
