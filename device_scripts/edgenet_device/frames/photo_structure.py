"""What a photo's file states before it is decoded: whether it is complete, the photo's size, and how it is turned.

OpenCV silently fills the missing parts of a photo with grey, so each format's own file structure is checked
first. Sources: JPEG: ITU-T T.81, annex B. PNG: W3C PNG (third edition), section 5. WebP: RFC 9649, section 2.
BMP: the BITMAPFILEHEADER of its specification. TIFF: TIFF 6.0, section 2. HEIC and AVIF: ISO/IEC 14496-12
(boxes) and 23008-12 (the properties ispe, irot and imir). GIF: GIF89a, section 18. PGM and PPM: Netpbm's formats.
JPEG 2000: ITU-T T.800, annex I (the box ihdr). Other formats are left to OpenCV.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import Optional

import numpy as np

Size = Optional[tuple[int, int]]
# A marker is 0xFF and a code. This pattern skips 0xFF00 (a stuffed data byte), 0xFFD0..D7 (they restart the
# entropy coding) and 0xFFFF (fill).
_JPEG_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])", re.DOTALL)
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NETPBM = re.compile(
    rb"P[1-6]\s+(?:#[^\n]{0,999}\n\s*){0,9}(\d{1,9})\s+(?:#[^\n]{0,999}\n\s*){0,9}(\d{1,9})\s"
)
_NO_LENGTH = frozenset({0x01, 0xD8})
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_TIFF_TYPE_BYTES = {1: 1, 3: 2, 4: 4, 16: 8}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})


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
        _check_length(data, struct.unpack_from("<I", data, 4)[0] + 8)
        return _webp(data)
    if data[:2] == b"BM" and len(data) >= 6:
        _check_length(data, struct.unpack_from("<I", data, 2)[0])
        return _bmp(data)
    if data[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(data)
    if is_heic(data) or is_avif(data):
        return _boxed(data)
    return _size_only(data)


def _check_length(data: bytes, length: int) -> None:
    if len(data) < length:
        raise IncompletePhotoError(f"it has {len(data)} of the {length} bytes that its header states")


def _webp(data: bytes) -> Size:
    if len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":  # the canvas of an extended file
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _bmp(data: bytes) -> Size:
    if len(data) < 26:
        return None
    if struct.unpack_from("<I", data, 14)[0] == 12:  # OS/2's header
        width, height = struct.unpack_from("<HH", data, 18)
        return width, height
    width, height = struct.unpack_from("<ii", data, 18)
    return abs(width), abs(height)  # a negative height means that the first row is the top


def _size_only(data: bytes) -> Size:
    """Return the size of a GIF, PGM, PPM or JPEG 2000, whose completeness is left to OpenCV."""
    if data.startswith(b"GIF8") and len(data) >= 10:
        width, height = struct.unpack_from("<HH", data, 6)
        return width, height
    netpbm = _NETPBM.match(data)
    if netpbm:
        return int(netpbm.group(1)), int(netpbm.group(2))
    header = data.find(b"ihdr", 0, 4096) if data[4:8] == b"jP  " else -1
    if 0 <= header <= len(data) - 12:
        height, width = struct.unpack_from(">II", data, header + 4)
        return width, height
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


def is_heic(data: bytes) -> bool:
    """Return whether the file is HEIC, the format of iPhones."""
    brands = _brands(data)
    return not brands.isdisjoint(_HEIC_BRANDS) or (b"mif1" in brands and not is_avif(data))


def is_avif(data: bytes) -> bool:
    """Return whether the file is AVIF, of one photo or several."""
    return not _brands(data).isdisjoint({b"avif", b"avis"})


def _brands(data: bytes) -> set[bytes]:
    """Return the major and the compatible brands of a file of boxes; nothing for other files."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(struct.unpack_from(">I", data)[0], 256, len(data) - 3)
    return {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}


def turned(pixels: np.ndarray, data: bytes) -> np.ndarray:
    """Return the photo turned and mirrored as its AVIF file says; other photos are returned unchanged.

    OpenCV ignores these properties of AVIF files.

    Args:
        pixels: the decoded photo, uint8 [height, width, 3].
        data: the bytes of its file.
    """
    for kind, content in _properties(data) if is_avif(data) else ():
        if kind == b"irot":
            pixels = np.rot90(pixels, content[0] & 3)  # quarter turns anticlockwise
        elif kind == b"imir":
            pixels = np.flip(pixels, axis=content[0] & 1)
    return pixels


def _boxed(data: bytes) -> Size:
    for kind, _start, end in _boxes(data, 0, len(data)):
        if end > len(data):
            name = kind.decode("latin-1")
            raise IncompletePhotoError(f"it ends inside its part '{name}'")
    try:
        sizes = [
            struct.unpack_from(">II", content, 4) for kind, content in _properties(data) if kind == b"ispe"
        ]
    except (struct.error, IndexError):
        raise IncompletePhotoError("its list of properties is damaged") from None
    return sizes[0] if sizes else None


def _properties(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the kind and the content of the properties of the file's main photo, in the order of their use."""
    meta = _inside(data, 0, len(data)).get(b"meta")
    if meta is None:
        return []
    parts = _inside(data, meta[0] + 4, meta[1])  # 4 bytes of version and flags
    if b"pitm" not in parts or b"iprp" not in parts:
        return []
    at = parts[b"pitm"][0]
    main = int.from_bytes(data[at + 4 : at + (8 if data[at] else 6)], "big")
    properties = _inside(data, *parts[b"iprp"])
    if b"ipco" not in properties or b"ipma" not in properties:
        return []
    listed = [(kind, data[start:end]) for kind, start, end in _boxes(data, *properties[b"ipco"])]
    numbers = _property_numbers(data, properties[b"ipma"][0], main)
    return [listed[number - 1] for number in numbers if 0 < number <= len(listed)]


def _property_numbers(data: bytes, at: int, item: int) -> list[int]:
    """Return the numbers, from 1, of the properties that the `ipma` box at `at` gives to an item."""
    id_bytes, number_bytes = (4 if data[at] else 2), (2 if data[at + 3] & 1 else 1)
    entries = struct.unpack_from(">I", data, at + 4)[0]
    at += 8
    for _ in range(min(entries, len(data))):
        found, count = int.from_bytes(data[at : at + id_bytes], "big"), data[at + id_bytes]
        at += id_bytes + 1
        if found == item:
            mask = (
                0x7FFF if number_bytes == 2 else 0x7F
            )  # the highest bit says that the property is essential
            places = range(at, at + count * number_bytes, number_bytes)
            return [int.from_bytes(data[place : place + number_bytes], "big") & mask for place in places]
        at += count * number_bytes
    return []


def _inside(data: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    """Return the first box of each kind between two places, as (start, end) of its content."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, first, last in _boxes(data, start, end):
        found.setdefault(kind, (first, last))
    return found


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box, and where its content starts and ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        header = 8
        if size == 1 and start + 16 <= end:  # the size follows in 8 bytes
            size, header = struct.unpack_from(">Q", data, start + 8)[0], 16
        if size == 0:  # the box goes on to the end
            size = end - start
        if size < header:
            return
        yield kind, start + header, start + size
        start += size
