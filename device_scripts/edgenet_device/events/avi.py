"""Writes an AVI file of JPEGs (Motion JPEG): https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference.

The JPEGs go in as they are, so that a small device need not encode them again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HAS_INDEX, _KEY_FRAME = 0x10, 0x10
_BITS = 24


def avi_of(pictures: Sequence[bytes], size: tuple[int, int], rate: float) -> bytes:
    """Return an AVI file.

    Args:
        pictures: JPEGs of one size, at least one.
        size: width and height, pixels.
        rate: pictures per second.
    """
    width, height = size
    count, largest = len(pictures), max(map(len, pictures))
    period_us = round(1e6 / rate)
    main = struct.pack(
        "<14I",
        period_us,
        round(largest * rate),
        0,
        _HAS_INDEX,
        count,
        0,
        1,
        largest,
        width,
        height,
        0,
        0,
        0,
        0,
    )
    stream = struct.pack(
        "<4s4sIHHIIIIIIiI4H", b"vids", b"MJPG", 0, 0, 0, 0, period_us, 1_000_000, 0, count, largest, -1, 0, 0, 0,
        width, height,
    )  # fmt: skip
    layout = struct.pack(
        "<IiiHH4sIiiII", 40, width, height, 1, _BITS, b"MJPG", width * height * 3, 0, 0, 0, 0
    )
    streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", layout))
    frames, index, place = [], [], 4
    for picture in pictures:
        frame = _chunk(b"00dc", picture)
        index.append(struct.pack("<4sIII", b"00dc", _KEY_FRAME, place, len(picture)))
        frames.append(frame)
        place += len(frame)
    body = _list(b"hdrl", _chunk(b"avih", main) + streams) + _list(b"movi", b"".join(frames))
    return _list(b"AVI ", body + _chunk(b"idx1", b"".join(index)), b"RIFF")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind: bytes, data: bytes, name: bytes = b"LIST") -> bytes:
    return name + struct.pack("<I", len(data) + 4) + kind + data
