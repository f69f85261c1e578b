"""Damage that any file can suffer, and hostile contents for texts, JSON and zips."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, Literal

Mutation = Callable[[bytes, random.Random], bytes]

BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x22, 0x2C, 0x30)
BYTE_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    128,
    255,
    256,
    4096,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
)
WORDS = (
    "", "0", "-1", "1e999", "-0", "NaN", "Infinity", "9" * 401, "1" * 5000, "0" * 5000, "1.5", "1e-400", "true", "null",
    "\0", "\n", "\r", "\r\n", "\t", '"', "'", ",", ";", "\\", "..", "../../etc/passwd", "/etc/passwd", "C:\\x", "~",
    "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x1b[2J", "\x9b2J", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff",
    "\ud7ff", "\U0001f436", "e\u0301" * 40, "٣", "²", "Ⅷ", "İ", "ſ", "<script>", "=cmd()", "%s%n", "{0}", "x" * 10_000,
)  # fmt: skip
"""Texts that readers have stumbled over: numbers out of range, control characters, digits that are not ASCII, paths."""


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, or a run of bytes."""
    if not data:
        return bytes([rng.randrange(256)])
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        start = rng.randrange(len(changed))
        for place in range(start, min(start + rng.choice((1, 1, 1, 4, 30)), len(changed))):
            changed[place] = rng.choice((*BYTES, rng.randrange(256), changed[place] ^ 1 << rng.randrange(8)))
    return bytes(changed)


def head_changed(data: bytes, rng: random.Random) -> bytes:
    """Change bytes of the first hundred, where most formats have their sizes."""
    return bytes_changed(data[:100], rng) + data[100:]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Remove the end, or remove or repeat a piece in the middle."""
    first, second = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return rng.choice((data[:second], data[:first] + data[second:], data[:second] + data[first:]))


def numbers_changed(data: bytes, rng: random.Random) -> bytes:
    """Write numbers of 1 to 8 bytes in both byte orders, where the file may have sizes, counts and offsets."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        width = rng.choice((1, 2, 4, 4, 8))
        if len(changed) < width:
            break
        place = rng.randrange(len(changed) - width + 1)
        if rng.random() < 0.5:
            place = place // width * width
        order = rng.choice(BYTE_ORDERS)
        before = int.from_bytes(changed[place : place + width], order)
        value = rng.choice((rng.choice(NUMBERS), before + 1, before - 1, before * 2, -before, len(data)))
        changed[place : place + width] = (value % 256**width).to_bytes(width, order)
    return bytes(changed)


def words_put_in(data: bytes, rng: random.Random) -> bytes:
    """Put hostile words between or over the characters of a text."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(len(data) + 1)
        word = rng.choice(WORDS).encode("utf-8", "surrogatepass")
        data = data[:start] + word + data[start + rng.choice((0, 0, 1, len(word), 20)) :]
    return data


def fields_replaced(data: bytes, rng: random.Random) -> bytes:
    """Replace whole fields of a text that has commas, semicolons, tabs, spaces or line ends between its fields."""
    separator = rng.choice((b",", b"\n", b"\n", b";", b"\t", b" ", b":"))
    fields = data.split(separator)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(fields))
        way = rng.random()
        if way < 0.5:
            fields[place] = rng.choice(WORDS).encode("utf-8", "surrogatepass")
        elif way < 0.7:
            fields[place] = rng.choice(fields)
        elif way < 0.85:
            fields.insert(place, rng.choice(fields) * rng.choice((1, 1, 1000)))
        elif len(fields) > 1:
            del fields[place]
    return separator.join(fields)


BINARY: tuple[Mutation, ...] = (bytes_changed, head_changed, cut, numbers_changed)
TEXT: tuple[Mutation, ...] = (words_put_in, fields_replaced, fields_replaced, bytes_changed, cut)

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, 10**400, -(10**400), 0.5, 1e308, -1e308, 1e-320, float("nan"),
    float("inf"), "", [], {}, [[]], [None], {"": None}, [0] * 1000, "x" * 10_000, ["\x1b[2J"], {"\x1b[2J": 1},
)  # fmt: skip


def json_changed(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, copy or add values of a JSON text; a text that is not JSON is changed as a text."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return fields_replaced(data, rng)
    for _ in range(rng.choice((1, 1, 2, 4))):
        value = _changed_value(value, rng)
    if rng.random() < 0.02:
        depth = rng.choice((500, 5000, 100_000))
        return b"[" * depth + json.dumps(value).encode() + b"]" * depth
    try:
        # Digits beyond Python's own limit can be written only as a text.
        return (
            json.dumps(value, ensure_ascii=rng.random() < 0.7)
            .replace('"@digits"', "7" * 5000)
            .encode("utf-8", "surrogatepass")
        )
    except (ValueError, RecursionError):
        return data


def _changed_value(value: Any, rng: random.Random) -> Any:
    """Return the value with one place in it changed; every level is equally likely."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        way = rng.random()
        if way < 0.08:
            return {name: one for name, one in value.items() if name != key}
        if way < 0.12:
            return {**value, rng.choice(WORDS): value[key]}
        return {**value, key: _changed_value(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        way = rng.random()
        if way < 0.1:
            return value[:place] + value[place + 1 :]
        if way < 0.15:
            return value + value * rng.choice((1, 10))
        return [*value[:place], _changed_value(value[place], rng), *value[place + 1 :]]
    return _another(value, rng)


def _another(value: Any, rng: random.Random) -> Any:
    way = rng.random()
    if way < 0.3 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return rng.choice(
            (-value, value + 1, value * 2, value * 10**6, rng.choice(NUMBERS), -rng.choice(NUMBERS))
        )
    if way < 0.3 and isinstance(value, str):
        place = rng.randrange(len(value) + 1)
        return value[:place] + rng.choice(WORDS) + value[place:]
    if way < 0.5:
        return rng.choice((*WORDS, "@digits", "\ud800"))
    return rng.choice(VALUES)


def zip_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the fields of a zip's headers and directory, wherever they stand."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        signature = rng.choice((b"PK\x01\x02", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"))
        places = [place for place in range(len(changed)) if changed.startswith(signature, place)][:50]
        if not places:
            continue
        place, width = rng.choice(places) + rng.randrange(4, 46), rng.choice((1, 2, 2, 4, 4))
        changed[place : place + width] = (rng.choice(NUMBERS) % 256**width).to_bytes(width, "little")
    return bytes(changed)


def members_changed(change: Mutation, names: tuple[str, ...] = ()) -> Mutation:
    """Return a mutation that changes the content or the name of one member of a zip and packs it again.

    Args:
        change: how the content changes.
        names: further names that a member may get.
    """
    hostile = (
        "../x",
        "/x",
        "a\nb",
        "\x1b[2J.png",
        "a/../b",
        "x" * 3000,
        "\u202egnp.x",
        "a\\b",
        ".",
        "",
        *names,
    )

    def changed(data: bytes, rng: random.Random) -> bytes:
        members = unpacked(data)
        if not members:
            return zip_changed(data, rng)
        name = rng.choice(sorted(members))
        packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", packing) as archive:
            for other, content in members.items():
                is_chosen = other == name
                if is_chosen and rng.random() < 0.1:
                    continue
                new_name = rng.choice(hostile) if is_chosen and rng.random() < 0.3 else other
                archive.writestr(
                    zipfile.ZipInfo(new_name), change(content, rng) if is_chosen else content, packing
                )
        return target.getvalue()

    return changed


def unpacked(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip, none where it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(member.file_size for member in archive.infolist()) > 1 << 24:
                return {}
            return {member.filename: archive.read(member) for member in archive.infolist()}
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        OSError,
        RuntimeError,
        ValueError,
        OverflowError,
    ):
        return {}


def bomb(data: bytes, rng: random.Random) -> bytes:
    """Give a member of a zip megabytes of packed zeros."""
    members = unpacked(data) or {"labels.csv": b""}
    target = io.BytesIO()
    chosen = rng.choice(sorted(members))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(
                name, content + bytes(rng.choice((1, 40, 90)) << 20) if name == chosen else content
            )
    return target.getvalue()
