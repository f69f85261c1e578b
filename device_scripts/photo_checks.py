"""Checks that a photo file is complete, because OpenCV silently fills missing parts with grey.

Each check returns the (width, height) that the header states, or None where we do not read the header's size.
It raises `IncompletePhotoError` for a file that ends early or is damaged. Formats without a check are left to
OpenCV.

Sources: JPEG: ITU-T T.81, annex B. PNG: W3C PNG (third edition), section 5. WebP: RFC 9649, section 2.
BMP: the BITMAPFILEHEADER of its specification. TIFF: TIFF 6.0, section 2.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Optional

Size = Optional[tuple[int, int]]

# A marker is 0xFF and a code. This pattern skips 0xFF00 (a stuffed data byte), 0xFFD0..D7 (they restart the
# entropy coding) and 0xFFFF (fill).
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, 0xD8})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}


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
