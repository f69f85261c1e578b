"""Makes prefixes of a network: the same .tflite, changed to stop after its n-th operator.

Three numbers of the flatbuffer are overwritten in a copy: how many operators the main subgraph has, which
tensor is its output, and which tensor the signature names as its output. Nothing moves, so no flatbuffers
library is needed, which tflite-runtime does not include. The layout is described in flatbuffer_check.py; the
field numbers are those of TFLite's schema.fbs.
"""

from __future__ import annotations

import struct

from .errors import EdgenetError

_MODEL_SUBGRAPHS, _MODEL_SIGNATURES = 2, 7
_SUBGRAPH_OUTPUTS, _SUBGRAPH_OPERATORS = 2, 3
_OPERATOR_OUTPUTS = 2
_SIGNATURE_OUTPUTS = 1
_MAP_TENSOR = 1


class Prefixes:
    """The prefixes of one network.

    Args:
        data: a .tflite whose tables are sound (`check_tflite`).
        name: what error messages call the file.

    Attributes:
        count: number of operators in the main subgraph.

    Raises:
        EdgenetError: the network has no subgraph, or not exactly one output.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        model = _forward(data, 0)
        subgraphs = _elements(data, model, _MODEL_SUBGRAPHS)
        outputs = _vector(data, subgraphs[0], _SUBGRAPH_OUTPUTS) if subgraphs else None
        operators = _vector(data, subgraphs[0], _SUBGRAPH_OPERATORS) if subgraphs else None
        if outputs is None or operators is None or _u32(data, outputs) != 1:
            raise EdgenetError(
                f"the network in {name} does not have exactly one output, so its operators cannot be timed"
            )
        self._outputs, self._operators = outputs, operators
        self.count = _u32(data, operators)
        self._signature_places = [
            place
            for signature in _elements(data, model, _MODEL_SIGNATURES)
            for one in _elements(data, signature, _SIGNATURE_OUTPUTS)
            if (place := _slot(data, one, _MAP_TENSOR)) is not None
        ]

    def first(self, count: int) -> bytes:
        """Return the network cut after its first `count` operators (at least 1), as the bytes of a .tflite.

        Its output is the output of the last of these operators.
        """
        tensor = self._output_of(count - 1)
        patched = bytearray(self._data)
        struct.pack_into("<I", patched, self._operators, count)
        struct.pack_into("<i", patched, self._outputs + 4, tensor)
        for place in self._signature_places:
            struct.pack_into("<I", patched, place, tensor)
        return bytes(patched)

    def _output_of(self, index: int) -> int:
        element = self._operators + 4 + 4 * index
        outputs = _vector(self._data, _forward(self._data, element), _OPERATOR_OUTPUTS)
        assert outputs is not None  # every operator that these networks use has an output tensor
        return int(struct.unpack_from("<i", self._data, outputs + 4)[0])


def _u32(data: bytes, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _forward(data: bytes, at: int) -> int:
    return at + _u32(data, at)


def _slot(data: bytes, table: int, field: int) -> int | None:
    """Return a field's position in the file; None where the field is absent, so that its default applies."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    slot = 4 + 2 * field
    if slot + 2 > struct.unpack_from("<H", data, vtable)[0]:
        return None
    place = struct.unpack_from("<H", data, vtable + slot)[0]
    return table + place if place else None


def _vector(data: bytes, table: int, field: int) -> int | None:
    """Return the position of a vector's length, which its elements follow; None where the field is absent."""
    place = _slot(data, table, field)
    return None if place is None else _forward(data, place)


def _elements(data: bytes, table: int, field: int) -> list[int]:
    """Return the positions of the tables in a vector of tables."""
    vector = _vector(data, table, field)
    if vector is None:
        return []
    return [_forward(data, vector + 4 + 4 * index) for index in range(_u32(data, vector))]
