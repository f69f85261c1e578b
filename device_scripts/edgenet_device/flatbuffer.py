"""The flatbuffer of a .tflite, read without the flatbuffers library, which tflite-runtime does not include.

A table starts with a signed offset back to its vtable; its fields hold unsigned offsets forward. Sources: the
FlatBuffers internals page for this layout, and TFLite's schema.fbs for the field numbers.

`check_tflite` checks all offsets. After it, the values are checked that the runtime trusts: shapes, quantization, and
the tensors that operators read and write.
"""

from __future__ import annotations

import math
import struct
from typing import NoReturn, Union

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


_MODEL_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS = 1, 2, 4
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_QUANTIZATION, _TENSOR_VARIABLE = 0, 1, 2, 4, 5
_BUFFER_DATA, _BUFFER_OFFSET, _BUFFER_SIZE = 0, 1, 2
_SCALES, _ZERO_POINTS, _AXIS = 2, 3, 6
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 0, 1, 2
_ABSENT = -1
"""The index that stands for an input that is left out."""
SMALLEST_SCALE, LARGEST_SCALE = 1e-20, 1e18
"""Products and quotients of two scales between these are float32 numbers; LiteRT aborts if they overflow."""
MOST_ELEMENTS = (1 << 31) - 1
# The type's number in the schema, and the zero points that it can hold.
_ZERO_POINTS_OF = {2: (-(1 << 31), (1 << 31) - 1), 3: (0, 255), 7: (-32768, 32767), 9: (-128, 127)}


def check_values(data: bytes, name: str) -> None:
    """Refuse a network with values that would make the runtime abort, or read and write outside its memory.

    Args:
        data: a .tflite whose offsets `check_tflite` has accepted.
        name: what error messages call the file.

    Raises:
        EdgenetError: a shape, a quantization parameter, a buffer, or an index of a tensor or operator is
            impossible, or an operator reads a tensor that nothing has written.
    """
    try:
        _Model(data, name).check()
    except struct.error:
        raise EdgenetError(f"the tables of {name} point outside it: it is damaged", "copy it again") from None


class _Model:
    """A file under check.

    Args:
        data: the bytes of the .tflite.
        name: what error messages call the file.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data, self._name = data, name
        self._root = forward(data, 0)
        self._codes = len(elements(data, self._root, _MODEL_CODES))
        self._filled = [self._has_data(buffer) for buffer in elements(data, self._root, _MODEL_BUFFERS)]
        # Several tables may share one list: without a limit, reading it again and again could take hours.
        self._bytes_left = len(data)

    def check(self) -> None:
        """Check every subgraph; only the first must have written all that it reads, because others get more."""
        for number, graph in enumerate(elements(self._data, self._root, _MODEL_SUBGRAPHS)):
            tensors = elements(self._data, graph, _GRAPH_TENSORS)
            has_data = [self._check_tensor(index, tensor) for index, tensor in enumerate(tensors)]
            self._check_operators(graph, tensors, has_data, follow=number == 0)

    def _refuse(self, what: str) -> NoReturn:
        raise EdgenetError(f"{self._name} is damaged: {what}", "copy or convert it again")

    def _has_data(self, buffer: int) -> bool:
        """Return whether a buffer has bytes: inside the flatbuffer or, where some tools put weights, behind it."""
        place, size = slot(self._data, buffer, _BUFFER_OFFSET), slot(self._data, buffer, _BUFFER_SIZE)
        start = 0 if place is None else struct.unpack_from("<Q", self._data, place)[0]
        if start > 1:
            count = 0 if size is None else struct.unpack_from("<Q", self._data, size)[0]
            if start + count > len(self._data):
                self._refuse("a buffer reaches past its end")
            return bool(count)
        inside = vector(self._data, buffer, _BUFFER_DATA)
        return inside is not None and u32(self._data, inside) > 0

    def _check_tensor(self, index: int, tensor: int) -> bool:
        """Check a tensor by itself; return whether it has its value before any operator has run."""
        shape = self._integers(tensor, _TENSOR_SHAPE)
        if min(shape, default=0) < 0 or math.prod(shape) > MOST_ELEMENTS:
            self._refuse(f"its tensor {index} has the shape {list(shape)!s:.60}")
        buffer = self._number(tensor, _TENSOR_BUFFER, "<I", 0)
        if buffer and buffer >= len(self._filled):
            self._refuse(f"its tensor {index} names the buffer {buffer} of {len(self._filled)}")
        constant = bool(self._filled) and self._filled[buffer]
        quantization = vector(self._data, tensor, _TENSOR_QUANTIZATION)
        if quantization is not None:
            kind = self._number(tensor, _TENSOR_TYPE, "<b", 0)
            self._check_quantization(index, quantization, shape, kind, constant)
        return constant or 0 in shape or bool(self._number(tensor, _TENSOR_VARIABLE, "<b", 0))

    def _check_quantization(
        self, index: int, quantization: int, shape: tuple[int, ...], kind: int, constant: bool
    ) -> None:
        scales = self._list(quantization, _SCALES, "f", 4)
        zeros = self._list(quantization, _ZERO_POINTS, "q", 8)
        # Some converters give a channel whose weights are all zero the scale 0. NaN fails every comparison.
        smallest = 0.0 if constant else SMALLEST_SCALE
        wrong = [scale for scale in scales if not smallest <= scale <= LARGEST_SCALE]
        if wrong:
            self._refuse(f"its tensor {index} has the scale {wrong[0]:g}")
        if scales and zeros and len(zeros) != len(scales):
            self._refuse(f"its tensor {index} has {len(scales)} scales and {len(zeros)} zero points")
        lowest, highest = _ZERO_POINTS_OF.get(kind, (-(1 << 63), 1 << 63))
        if zeros and not lowest <= min(zeros) <= max(zeros) <= highest:
            self._refuse(f"its tensor {index} has a zero point outside {lowest} to {highest}")
        axis = self._number(quantization, _AXIS, "<i", 0)
        if len(scales) > 1 and not (0 <= axis < len(shape) and shape[axis] == len(scales)):
            self._refuse(f"its tensor {index} has {len(scales)} scales for axis {axis} of {list(shape)}")

    def _check_operators(self, graph: int, tensors: list[int], has_data: list[bool], follow: bool) -> None:
        inputs, outputs = self._integers(graph, _GRAPH_INPUTS), self._integers(graph, _GRAPH_OUTPUTS)
        self._check_indices((*inputs, *outputs), len(tensors), 0)
        ready = {index for index, value in enumerate(has_data) if value} | set(inputs)
        for number, operator in enumerate(elements(self._data, graph, _GRAPH_OPERATORS)):
            if self._number(operator, _OPERATOR_CODE, "<I", 0) >= self._codes:
                self._refuse(f"its operator {number} is of a kind that the file does not list")
            read = self._integers(operator, _OPERATOR_INPUTS)
            written = self._integers(operator, _OPERATOR_OUTPUTS)
            self._check_indices(read, len(tensors), _ABSENT)
            self._check_indices(written, len(tensors), 0)
            missing = set(read) - ready - {_ABSENT}
            if follow and missing:
                self._refuse(f"its operator {number} reads the tensor {min(missing)}, which has no data")
            ready |= set(written)
        if follow and set(outputs) - ready:
            self._refuse(f"its output is the tensor {min(set(outputs) - ready)}, which has no data")

    def _check_indices(self, indices: tuple[int, ...], count: int, lowest: int) -> None:
        if indices and not lowest <= min(indices) <= max(indices) < count:
            self._refuse(f"an operator or port names a tensor that is not among its {count}")

    def _integers(self, table: int, field: int) -> tuple[int, ...]:
        return tuple(int(value) for value in self._list(table, field, "i", 4))

    def _list(self, table: int, field: int, code: str, width: int) -> tuple[float, ...]:
        """Return a vector of numbers; () where the field is absent."""
        place = vector(self._data, table, field)
        if place is None:
            return ()
        count = u32(self._data, place)
        self._bytes_left -= count * width
        if self._bytes_left < 0:
            self._refuse("its tables share lists of numbers")
        return struct.unpack_from(f"<{count}{code}", self._data, place + 4)

    def _number(self, table: int, field: int, code: str, default: int) -> int:
        place = slot(self._data, table, field)
        return default if place is None else int(struct.unpack_from(code, self._data, place)[0])
