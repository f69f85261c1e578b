"""Reads photos in the same way on the device, for calibration and for evaluation.

Every photo becomes uint8 BGR [height, width, 3].

- Grey photos get three equal channels; CMYK is converted; 16 bits are reduced to 8 (the high byte).
- Transparency is dropped, not blended: the colour stored under it is used. Pillow's `convert("RGB")` and
  OpenCV's colour mode do the same, and so a network saw that colour in training.
- The rotation written by the camera (EXIF) is applied: to JPEG always, to PNG and WebP only with OpenCV 5.
- A JPEG whose shorter side is at least 2048 pixels is decoded at 1/2, 1/4 or 1/8 (libjpeg's scaled inverse
  DCT), so that the shorter side stays at least 1024: 100 megapixels then take 5 MB instead of 300.
- A photo is refused if it ends early, is damaged or empty, has a side under 4 pixels, or is not a photo at
  all.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Union

import cv2
import numpy as np

from .errors import EdgenetError
from .photo_checks import IncompletePhotoError, Size, stated_size
from .quiet import quiet_native_stderr

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
MAX_PIXELS = 256_000_000
MAX_BYTES = 1 << 30

_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"P5", b"P6")

Source = Union[str, "os.PathLike[str]", bytes]


def read_photo(source: Source, name: str | None = None) -> np.ndarray:
    """Decode one photo.

    Args:
        source: the path of a file, or its bytes.
        name: what error messages call the photo; by default the path, or "the photo" for bytes.

    Returns:
        uint8 BGR [height, width, 3], contiguous, at least 4 pixels on each side.

    Raises:
        EdgenetError: the photo is missing, unreadable, empty, truncated, damaged, not a photo, too small or
            too large.
    """
    if isinstance(source, bytes):
        return _decode(source, name or "the photo")
    path = Path(source)
    return _decode(_read_bytes(path, name or str(path)), name or str(path))


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
    for place, folders, files in os.walk(folder, onerror=_cannot_list):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            suffix = os.path.splitext(file)[1].lower()
            if file.startswith("."):
                continue
            if suffix in PHOTO_SUFFIXES:
                photos.append(Path(place, file))
            else:
                others[suffix or "no suffix"] += 1
    if not photos:
        raise EdgenetError(f"no photo in {folder} ({_describe(others)})", "put JPEG or PNG files there")
    return sorted(photos)


def starts_like_photo(head: bytes) -> bool:
    """Return whether the first 16 bytes of a file belong to a photo format."""
    return head.startswith(_PHOTO_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


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
            raise EdgenetError(f"{name} is larger than {MAX_BYTES >> 30} GiB", "export it as JPEG")
        return path.read_bytes()
    except FileNotFoundError:
        raise EdgenetError(f"{name} does not exist", "check the path") from None
    except OSError as error:
        raise EdgenetError(f"cannot read {name}: {error.strerror}", "check its permissions") from error


def _decode(data: bytes, name: str) -> np.ndarray:
    if not data:
        raise EdgenetError(f"{name} is empty (0 bytes)", "copy it again")
    try:
        size = stated_size(data)
    except IncompletePhotoError as fault:
        raise EdgenetError(
            f"{name} is truncated or damaged: {fault}", "copy it again or leave it out"
        ) from None
    factor = _factor(data, size)
    _refuse_extremes(size, factor, name)
    pixels = _imdecode(data, _REDUCED.get(factor, cv2.IMREAD_COLOR), name)
    if pixels is None:
        raise EdgenetError(
            f"{name} is not a photo that OpenCV can decode{_kind(data)}", "export it as JPEG or PNG"
        )
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


def _factor(data: bytes, size: Size) -> int:
    """Return the largest of 8, 4, 2 that leaves a JPEG's shorter side at least MIN_REDUCED_SIDE, else 1."""
    if size is None or not data.startswith(b"\xff\xd8"):
        return 1  # other formats would be decoded at full size and only then reduced, which saves nothing
    return next((factor for factor in _REDUCED if min(size) // factor >= MIN_REDUCED_SIDE), 1)


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


def _kind(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return " (it is HEIC, the format of iPhones)"
    return ""
