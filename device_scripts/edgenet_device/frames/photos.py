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

OpenCV silently fills the missing parts of a photo with grey, so each format's own file structure is checked
first. Sources: JPEG: ITU-T T.81, annex B. PNG: W3C PNG (third edition), section 5. WebP: RFC 9649, section 2.
BMP: the BITMAPFILEHEADER of its specification. TIFF: TIFF 6.0, section 2. Other formats are left to OpenCV.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections import Counter
from pathlib import Path
from typing import Optional, Union

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
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
MAX_PIXELS = 256_000_000
MAX_BYTES = 1 << 30
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
_PHOTO_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"GIF8", b"BM", b"P5", b"P6")
Source = Union[str, "os.PathLike[str]", bytes]
Size = Optional[tuple[int, int]]
# A marker is 0xFF and a code. This pattern skips 0xFF00 (a stuffed data byte), 0xFFD0..D7 (they restart the
# entropy coding) and 0xFFFF (fill).
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, 0xD8})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}


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


def _decode(data: bytes, name: str, least_side: int) -> np.ndarray:
    if not data:
        raise EdgenetError(f"{name} is empty (0 bytes)", "copy it again")
    try:
        size = stated_size(data)
    except IncompletePhotoError as fault:
        raise EdgenetError(
            f"{name} is truncated or damaged: {fault}", "copy it again or leave it out"
        ) from None
    factor = _factor(data, size, least_side)
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


def _kind(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"hevc"):
        return " (it is HEIC, the format of iPhones)"
    return ""


class IncompletePhotoError(Exception):
    """The file ends early or is damaged; the message says what is missing."""


def stated_size(data: bytes) -> Size:
    """Check that a photo is complete and return its size.

    Returns:
        (width, height) as the header states them, before any rotation; None where the header's size is not
        read or the format has no check here.

    Raises:
        IncompletePhotoError: the file ends early or is damaged.
    """
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _stated_length(data, struct.unpack_from("<I", data, 4)[0] + 8)
    if data[:2] == b"BM" and len(data) >= 6:
        return _stated_length(data, struct.unpack_from("<I", data, 2)[0])
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    return None


def _stated_length(data: bytes, length: int) -> Size:
    if len(data) < length:
        raise IncompletePhotoError(f"it has {len(data)} of the {length} bytes that its header states")
    return None


def _jpeg(data: bytes) -> Size:
    """Walk from segment to segment, so that an end-of-image marker inside an embedded preview is skipped."""
    size: Size = None
    scanned = False
    at = 2
    while True:
        marker = _JPEG_MARKER.search(data, at)
        if marker is None:
            raise IncompletePhotoError("its end-of-image marker is missing")
        code, at = marker.group(1)[0], marker.end()
        if code == _END_OF_IMAGE:
            if not scanned:
                raise IncompletePhotoError("it ends before any picture data")
            return size
        if code in _NO_LENGTH:
            continue
        if at + 2 > len(data):
            raise IncompletePhotoError("it ends inside a segment header")
        if code in _START_OF_FRAME and at + 7 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 3)
            size = (width, height) if height else None  # height 0 means that it follows in a DNL segment
        scanned = scanned or code == _START_OF_SCAN
        at += max(2, struct.unpack_from(">H", data, at)[0])


def _png(data: bytes) -> Size:
    view = memoryview(data)
    at = 8
    size: Size = None
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            break
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise IncompletePhotoError(f"the checksum of its {kind.decode('latin-1')} part is wrong")
        if kind == b"IHDR" and length >= 8:
            size = struct.unpack_from(">II", data, at + 8)
        if kind == b"IEND":
            return size
        at = end
    raise IncompletePhotoError("its end part (IEND) is missing")


def _tiff(data: bytes) -> Size:
    """Return the first image's size; check that all its strips or tiles lie inside the file."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        tags = _tiff_tags(data, order)
        size = (tags[256][0], tags[257][0])
    except (struct.error, KeyError, IndexError):
        raise IncompletePhotoError("its directory is cut off or damaged") from None
    offsets = tags.get(273) or tags.get(324) or ()
    lengths = tags.get(279) or tags.get(325) or ()
    if any(offset + length > len(data) for offset, length in zip(offsets, lengths)):
        raise IncompletePhotoError("part of its picture data is missing")
    return size


def _tiff_tags(data: bytes, order: str) -> dict[int, tuple[int, ...]]:
    at = struct.unpack_from(order + "I", data, 4)[0]
    tags: dict[int, tuple[int, ...]] = {}
    for entry in range(struct.unpack_from(order + "H", data, at)[0]):
        place = at + 2 + entry * 12
        tag, kind, count = struct.unpack_from(order + "HHI", data, place)
        width = _TIFF_TYPE_BYTES.get(kind)
        if tag not in (256, 257, 273, 279, 324, 325) or width is None:
            continue
        start = place + 8 if width * count <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        if start + width * count > len(data):
            raise struct.error("a list of offsets lies outside the file")
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        tags[tag] = struct.unpack_from(f"{order}{count}{code}", data, start)
    return tags
