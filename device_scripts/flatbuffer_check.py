"""Checks that a .tflite's flatbuffer is sound, because tflite-runtime 2.14 crashes silently on a damaged one.

Every offset that the runtime follows to build the graph must stay inside the file: the offsets to the tables,
vectors and strings of the model, its subgraphs, tensors, operators and buffers. Sources: the FlatBuffers
internals page for the layout (a table starts with a signed offset back to its vtable; fields hold unsigned
offsets forward), and TFLite's schema.fbs for the field numbers.
"""

from __future__ import annotations

import struct
from typing import Union

from .errors import EdgenetError

# What a field holds. An int means a string or vector with that many bytes per element; a dict means one
# table; a tuple of one dict means a vector of tables. The keys of a dict are the schema's field numbers.
Field = Union[int, "Table", tuple["Table"]]
Table = dict[int, Field]

_BYTES: Table = {}
_QUANTIZATION: Table = {0: 4, 1: 4, 2: 4, 3: 8}
_TENSOR: Table = {0: 4, 3: 1, 4: _QUANTIZATION, 7: 4}
_OPERATOR: Table = {1: 4, 2: 4, 4: _BYTES, 5: 1, 8: 4}
_SUBGRAPH: Table = {0: (_TENSOR,), 1: 4, 2: 4, 3: (_OPERATOR,), 4: 1}
_MODEL: Table = {1: ({1: 1},), 2: (_SUBGRAPH,), 3: 1, 4: ({0: 1},), 5: 4, 6: ({0: 1},)}


def check_tflite(data: bytes, name: str) -> None:
    """Refuse a flatbuffer with an offset that points outside the file.

    Args:
        name: what error messages call the file.

    Raises:
        EdgenetError: the flatbuffer is damaged or cut short.
    """
    try:
        _table(data, _forward(data, 0), _MODEL)
    except (struct.error, RecursionError):
        raise EdgenetError(
            f"the tables of {name} point outside its {len(data)} bytes: it is damaged or cut short",
            "copy it again",
        ) from None


def _forward(data: bytes, at: int) -> int:
    return at + struct.unpack_from("<I", data, at)[0]


def _table(data: bytes, at: int, fields: Table) -> None:
    vtable = at - struct.unpack_from("<i", data, at)[0]
    if vtable < 0:
        raise struct.error(f"a table at {at} points before the file")
    vtable_bytes, table_bytes = struct.unpack_from("<HH", data, vtable)
    if vtable_bytes < 4 or vtable + vtable_bytes > len(data) or at + table_bytes > len(data):
        raise struct.error(f"the table at {at} reaches past the end")
    for number, holds in fields.items():
        slot = 4 + 2 * number
        if slot + 2 > vtable_bytes:
            continue
        place = struct.unpack_from("<H", data, vtable + slot)[0]
        if place:
            _field(data, at + place, holds)


def _field(data: bytes, at: int, holds: Field) -> None:
    target = _forward(data, at)
    if isinstance(holds, dict):
        _table(data, target, holds)
        return
    width = 4 if isinstance(holds, tuple) else holds
    count = struct.unpack_from("<I", data, target)[0]
    if target + 4 + count * width > len(data):
        raise struct.error(f"a list of {count} at {target} reaches past the end")
    if isinstance(holds, tuple):
        for index in range(count):
            element = target + 4 + 4 * index
            _table(data, _forward(data, element), holds[0])
