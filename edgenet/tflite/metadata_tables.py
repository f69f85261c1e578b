"""Lists the tables of TFLite metadata, and encodes and decodes them.

No maintained package carries this schema, so the part that an image classifier needs is listed here.
Source: `metadata_schema.fbs` of TensorFlow Lite Support, schema version 1.1.0, file identifier `M001`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flatbuffers
from flatbuffers import encode, number_types
from flatbuffers.table import Table

Kind = str | tuple[str, ...]
# Every table that we write or read, with its fields in the schema's order, which is the order of their slots.
# Kinds: "string", "byte" (enumerations), "uint", "[float]", "[string]", "Table", "[Table]",
# and a union of tables as a tuple; a union takes two slots, and the first holds the table's number (from 1).
# Fields after the last one that we need are left out; readers skip slots that they do not know.
TABLES: dict[str, dict[str, Kind]] = {
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
        "associated_files": "[AssociatedFile]",
    },
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "Content": {"content_properties": ("FeatureProperties", "ImageProperties")},
    "FeatureProperties": {},
    "ImageProperties": {"color_space": "byte", "default_size": "ImageSize"},
    "ImageSize": {"width": "uint", "height": "uint"},
    "ProcessUnit": {"options": ("NormalizationOptions",)},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "AssociatedFile": {"name": "string", "description": "string", "type": "byte", "locale": "string"},
}
_SCALARS = {"byte": number_types.Int8Flags, "uint": number_types.Uint32Flags}


def encode_root(table: str, values: Mapping[str, Any], identifier: bytes) -> bytes:
    """Return the bytes of a flatbuffer with `table` as its root.

    Args:
        table: a name in the list of tables.
        values: fields by name; None or absent means absent. Tables are mappings, vectors are sequences, a
            union is a pair (name of the table, its fields).
        identifier: the file identifier, four bytes.

    Raises:
        KeyError: `values` has a field that the table does not have.
    """
    builder = flatbuffers.Builder(1024)
    builder.Finish(_encode(builder, table, values), identifier)
    return bytes(builder.Output())


def decode_root(table: str, buffer: bytes) -> dict[str, Any]:
    """Decode a flatbuffer with `table` as its root, the inverse of `encode_root`; absent fields are left out.

    Raises:
        struct.error, IndexError, ValueError or TypeError: the buffer is damaged.
    """
    root = encode.Get(number_types.UOffsetTFlags.packer_type, buffer, 0)
    return _decode(Table(buffer, root), table)


def _encode(builder: flatbuffers.Builder, table: str, values: Mapping[str, Any]) -> int:
    """Write one table and return its offset; children come first, as flatbuffers are built from the back."""
    fields = TABLES[table]
    unknown = values.keys() - fields.keys()
    if unknown:
        raise KeyError(f"{table} has no field {sorted(unknown)}")
    parts: list[tuple[str, int, int]] = []  # kind, slot, value or offset
    slots = 0
    for name, kind in fields.items():
        value = values.get(name)
        if value is not None:
            parts += _encode_field(builder, slots, kind, value)
        slots += _width(kind)
    builder.StartObject(slots)
    for kind, slot, value in parts:
        if kind == "byte":
            builder.PrependInt8Slot(slot, value, 0)
        elif kind == "uint":
            builder.PrependUint32Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _encode_field(
    builder: flatbuffers.Builder, slot: int, kind: Kind, value: Any
) -> list[tuple[str, int, int]]:
    if isinstance(kind, tuple):
        table, fields = value
        chosen = ("byte", slot, kind.index(table) + 1)
        return [chosen, ("offset", slot + 1, _encode(builder, table, fields))]
    if kind in _SCALARS:
        return [(kind, slot, value)]
    return [("offset", slot, _encode_child(builder, kind, value))]


def _encode_child(builder: flatbuffers.Builder, kind: str, value: Any) -> int:
    if kind == "string":
        return int(builder.CreateString(value))
    if kind == "[float]":
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return int(builder.EndVector())
    if kind.startswith("["):
        offsets = [_encode_child(builder, kind[1:-1], item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())
    return _encode(builder, kind, value)


def _decode(table: Table, name: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    slot = 0
    for field, kind in TABLES[name].items():
        if isinstance(kind, tuple):
            value: Any = _decode_union(table, slot, kind)
        else:
            value = _decode_field(table, slot, kind)
        if value is not None:
            values[field] = value
        slot += _width(kind)
    return values


def _decode_union(table: Table, slot: int, kinds: tuple[str, ...]) -> tuple[str, dict[str, Any]] | None:
    which = table.GetSlot(_at(slot), 0, number_types.Uint8Flags)
    place = table.Offset(_at(slot + 1))
    if not place or not 1 <= which <= len(kinds):  # absent, or a table that we do not know
        return None
    name = kinds[which - 1]
    return name, _decode(Table(table.Bytes, table.Indirect(table.Pos + place)), name)


def _decode_field(table: Table, slot: int, kind: str) -> Any:
    place = table.Offset(_at(slot))
    if not place:
        return None
    if kind in _SCALARS:
        return int(table.Get(_SCALARS[kind], table.Pos + place))
    if not kind.startswith("["):
        return _decode_item(table, kind, table.Pos + place)
    start, length = table.Vector(place), table.VectorLen(place)
    return [_decode_item(table, kind[1:-1], start + 4 * index) for index in range(length)]


def _decode_item(table: Table, kind: str, position: int) -> Any:
    if kind == "float":
        return float(table.Get(number_types.Float32Flags, position))
    if kind == "string":
        return table.String(position).decode()
    return _decode(Table(table.Bytes, table.Indirect(position)), kind)


def _width(kind: Kind) -> int:
    """Return the number of slots that a field takes."""
    return 2 if isinstance(kind, tuple) else 1


def _at(slot: int) -> int:
    """Return a slot's byte offset in a table's index, in which two 16-bit sizes come first."""
    return 4 + 2 * slot
