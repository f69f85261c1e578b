"""The flatbuffer of a .tflite, read without the flatbuffers library, which tflite-runtime does not include.

A table starts with a signed offset back to its vtable; its fields hold unsigned offsets forward. Sources: the
FlatBuffers internals page for this layout, and TFLite's schema.fbs for the field numbers.
"""

from __future__ import annotations

import struct
from typing import Union

from edgenet_device.errors import EdgenetError

# What a field holds. An int means a string or vector with that many bytes per element; a dict means one
# table; a tuple of one dict means a vector of tables. The keys of a dict are the schema's field numbers.
Field = Union[int, "Table", tuple["Table"]]
Table = dict[int, Field]
_TABLE: Table = {}
_QUANTIZATION: Table = {0: 4, 1: 4, 2: 4, 3: 8}
_TENSOR: Table = {0: 4, 3: 1, 4: _QUANTIZATION, 7: 4}
_OPERATOR: Table = {1: 4, 2: 4, 4: _TABLE, 5: 1, 8: 4}
_SUBGRAPH: Table = {0: (_TENSOR,), 1: 4, 2: 4, 3: (_OPERATOR,), 4: 1}
_MODEL: Table = {1: ({1: 1},), 2: (_SUBGRAPH,), 3: 1, 4: ({0: 1},), 5: 4, 6: ({0: 1},)}
MOST_TABLES = 200_000
"""The most tables in a file; networks have some hundreds, but a file can name one table again and again."""


def check_tflite(data: bytes, name: str) -> None:
    """Refuse a flatbuffer with an offset that points outside the file: tflite-runtime 2.14 would crash silently.

    Every offset that the runtime follows to build the graph is checked: those to the tables, vectors and
    strings of the model, its subgraphs, tensors, operators and buffers.

    Args:
        name: what error messages call the file.

    Raises:
        EdgenetError: the flatbuffer is damaged or cut short.
    """
    try:
        _table(data, forward(data, 0), _MODEL, [MOST_TABLES])
    except (struct.error, RecursionError):
        raise EdgenetError(
            f"the tables of {name} point outside its {len(data)} bytes: it is damaged or cut short",
            "copy it again",
        ) from None


def _table(data: bytes, at: int, fields: Table, left: list[int]) -> None:
    """Check a table and all that it leads to; `left` holds how many tables may still follow."""
    left[0] -= 1
    if left[0] < 0:
        raise struct.error(f"more than {MOST_TABLES} tables")
    vtable = at - struct.unpack_from("<i", data, at)[0]
    if vtable < 0:
        raise struct.error(f"a table at {at} points before the file")
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    if vtable_bytes < 4 or vtable + vtable_bytes > len(data) or at + table_bytes > len(data):
        raise struct.error(f"the table at {at} reaches past the end")
    for number, holds in fields.items():
        entry = 4 + 2 * number
        if entry + 2 > vtable_bytes:
            continue
        place = struct.unpack_from("<H", data, vtable + entry)[0]
        if place:
            _field(data, at + place, holds, left)


def _field(data: bytes, at: int, holds: Field, left: list[int]) -> None:
    target = forward(data, at)
    if isinstance(holds, dict):
        _table(data, target, holds, left)
        return
    width = 4 if isinstance(holds, tuple) else holds
    count = struct.unpack_from("<I", data, target)[0]
    if target + 4 + count * width > len(data):
        raise struct.error(f"a list of {count} at {target} reaches past the end")
    if isinstance(holds, tuple):
        for index in range(count):
            element = target + 4 + 4 * index
            _table(data, forward(data, element), holds[0], left)


def u32(data: bytes, at: int) -> int:
    """Return the unsigned 32-bit number at a position."""
    return int(struct.unpack_from("<I", data, at)[0])


def forward(data: bytes, at: int) -> int:
    """Return the position that the unsigned offset at `at` points to."""
    return at + u32(data, at)


def slot(data: bytes, table: int, field: int) -> int | None:
    """Return a field's position in the file; None where the field is absent, so that its default applies."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    entry = 4 + 2 * field
    if entry + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    place = struct.unpack_from("<H", data, vtable + entry)[0]
    return table + place if place else None


def vector(data: bytes, table: int, field: int) -> int | None:
    """Return the position of a vector's length, which its elements follow; None where the field is absent."""
    place = slot(data, table, field)
    return None if place is None else forward(data, place)


def elements(data: bytes, table: int, field: int) -> list[int]:
    """Return the positions of the tables in a vector of tables."""
    found = vector(data, table, field)
    if found is None:
        return []
    return [forward(data, found + 4 + 4 * index) for index in range(u32(data, found))]
