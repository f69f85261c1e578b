"""Damage .tflite files at random: their bytes, offsets and counts, the schema's own fields, and the appended files."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgenet.tflite.metadata import append_files, read_files

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 13, 64, 127, 128, 255, 256, 4096, 65535, 2**24, 2**30, 2**31 - 1)
WORDS = (*NUMBERS, 2**31, 2**32 - 1, 2**32 - 4)


def bytes_changed(data: bytes, rng: random.Random) -> bytes:
    """Change a few bytes, or a run of bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 40])):
        start = rng.randrange(len(changed))
        for place in range(start, min(start + rng.choice([1, 1, 1, 4, 30]), len(changed))):
            changed[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    """Remove the end, or remove or repeat a piece in the middle."""
    first, second = sorted(rng.randrange(len(data)) for _ in range(2))
    return rng.choice([data[:second], data[:first] + data[second:], data[:second] + data[first:]])


def words_changed(data: bytes, rng: random.Random) -> bytes:
    """Enlarge, shift or swap offsets, counts and numbers, which are aligned words of 32 bits."""
    words = np.frombuffer(data[: len(data) // 4 * 4], np.uint32).copy()
    # offsets and counts are small numbers; weights hardly ever are
    places = np.flatnonzero(words < len(data))
    for _ in range(rng.choice([1, 1, 2, 4])):
        place, other = rng.choice(places), rng.choice(places)
        value = int(words[place])
        ways = (rng.choice(WORDS), value + 4, value - 4, value * 2, value ^ 1 << rng.randrange(32))
        if rng.random() < 0.2:
            words[[place, other]] = words[[other, place]]
        else:
            words[place] = rng.choice(ways) % 2**32
    return words.tobytes() + data[len(data) // 4 * 4 :]


def fields_changed(data: bytes, rng: random.Random) -> bytes:
    """Return a valid flatbuffer with other values in the schema's fields, followed by the original's appended files."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        owners = list(_objects(model))
        kind = rng.choice(
            sorted({type(owner).__name__ for owner in owners})
        )  # or buffers would take most turns
        owner = rng.choice([owner for owner in owners if type(owner).__name__ == kind])
        name = rng.choice(sorted(vars(owner)))
        setattr(owner, name, _another(getattr(owner, name), rng))
    packed = _packed(model)
    if packed is None:
        return fields_changed(data, rng)  # the writer does not take every nonsense; then another is drawn
    return append_files(packed, read_files(data)) if read_files(data) else packed


def metadata_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the metadata's own flatbuffer, the appended zip, or the files in it."""
    files = read_files(data)
    if not files:
        return fields_changed(data, rng)
    way = rng.choice([_buffer_changed, _zip_changed, _files_changed])
    return way(data, files, rng)


def _buffer_changed(data: bytes, files: dict[str, bytes], rng: random.Random) -> bytes:
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    buffer = model.buffers[model.metadata[0].buffer]
    change = rng.choice([bytes_changed, cut, words_changed])
    buffer.data = np.frombuffer(change(bytes(buffer.data), rng), np.uint8)
    packed = _packed(model)
    assert packed is not None
    return append_files(packed, files)


def _zip_changed(data: bytes, files: dict[str, bytes], rng: random.Random) -> bytes:
    """Change the zip, including its counts, sizes and offsets of 16 and 32 bits, which may stand anywhere."""
    start = data.index(b"PK\x03\x04")
    behind = bytearray(data[start:])
    for _ in range(rng.choice([1, 1, 2, 4])):
        signature = rng.choice([b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"])
        place = behind.find(signature) + rng.randrange(4, 46)
        width = rng.choice([1, 2, 4])
        behind[place : place + width] = (rng.choice(WORDS) % 256**width).to_bytes(width, "little")
    return data[:start] + bytes(behind)


def _files_changed(data: bytes, files: dict[str, bytes], rng: random.Random) -> bytes:
    target = io.BytesIO()
    target.write(data[: data.index(b"PK\x03\x04")])
    chosen = rng.choice(sorted(files))
    with zipfile.ZipFile(target, "a", rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) as archive:
        for name, content in files.items():
            is_chosen = name == chosen
            content = rng.choice(CONTENTS)(content, rng) if is_chosen else content
            archive.writestr(
                rng.choice([name, name, "a\nb", "../x", "x" * 3000]) if is_chosen else name, content
            )
    return target.getvalue()


CONTENTS: tuple[Mutation, ...] = (
    *(bytes_changed, cut),
    lambda content, rng: b"",
    lambda content, rng: content * rng.choice([2, 1000]),
    lambda content, rng: b"[" * 200_000,
    lambda content, rng: rng.choice([b"null", b"[]", b"{}", b"NaN", b"1e999", b'"\\ud800"', b"9" * 5000]),
    lambda content, rng: content.replace(
        b"null", rng.choice([b"0", b"1e400", b"NaN", b"[]", b'"\\n\\u001b"'])
    ),
    lambda content, rng: b"\x00\x1b[31m\x85\xe2\x80\xa8\n" * 7,
    lambda content, rng: b"\0" * (33 << 20),
)


def _packed(model: schema.ModelT) -> bytes | None:
    """Return the model's bytes, or None if the writer cannot express it."""
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), b"TFL3")
    except Exception:
        return None
    return bytes(builder.Output())


def _objects(value: Any) -> Iterator[Any]:
    """Return every table of the model."""
    if isinstance(value, list):
        for element in value:
            yield from _objects(element)
    elif hasattr(value, "__dict__"):
        if vars(value):
            yield value
        for part in vars(value).values():
            yield from _objects(part)


def _another(value: Any, rng: random.Random) -> Any:
    """Return another value of about the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | np.integer):
        return rng.choice([*NUMBERS, -1, -2, -(2**31), int(value) + 1, int(value) - 1])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), value * 2])
    if isinstance(value, list | np.ndarray):
        return _another_list(list(value), rng)
    if isinstance(value, bytes):
        return rng.choice([b"", b"\xff\xfe", b"a" * 300, b"same"])
    return None


def _another_list(values: list[Any], rng: random.Random) -> list[Any] | None:
    way = rng.randrange(6)
    place = rng.randrange(len(values)) if values else 0
    if way == 0 or not values:
        return rng.choice([None, []])
    if way == 1:
        return [*values, values[place]]
    if way == 2:
        return values[:place]
    if way == 3:
        return values[::-1]
    changed = values.copy()
    if hasattr(values[place], "__dict__"):  # a table: take its place with another one
        changed[place] = rng.choice(values)
    else:
        changed[place] = _another(values[place], rng)
    return changed


MUTATIONS: dict[str, Mutation] = {
    way.__name__: way for way in (bytes_changed, cut, words_changed, fields_changed, metadata_changed)
}
