"""Makes dataclasses of JSON values again, the inverse of `dataclasses.asdict`, and checks the type of every field.

The values may come from a file of anyone, so nothing of another type gets into a training.
"""

from __future__ import annotations

from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from edgenet_device.foreign_text import one_line

Record = TypeVar("Record")


def record_from_json(kind: type[Record], values: object, place: str, **given: Any) -> Record:
    """Return the dataclass `kind` with these values; a field that is not among them has its default.

    Args:
        kind: a dataclass. Its fields are numbers, texts, flags, literals, tuples and other such dataclasses, or None.
        values: parsed JSON.
        place: what the values are, for error messages.
        given: the fields that JSON does not have, by name.

    Raises:
        ValueError: a value has another type than its field, a field is missing, or there is no field of that name.
        EdgenetError: the dataclass itself refuses a value.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{place} is no JSON object")
    known = {field.name: field for field in fields(cast(Any, kind)) if field.name not in given}
    if unknown := sorted(values.keys() - known.keys()):
        raise ValueError(f"{place} has the unknown field {one_line(repr(unknown[0]), 60)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING:
            raise ValueError(f"{place} has no {name}")
    hints = get_type_hints(kind)
    checked = {name: _value(hints[name], value, f"{place}.{name}") for name, value in values.items()}
    return kind(**checked, **given)


def _value(hint: Any, value: object, place: str) -> Any:
    """Return a JSON value as the annotated type has it: lists as tuples, objects as dataclasses."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return None if value is None else _value(next(p for p in parts if p is not NoneType), value, place)
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{place} is no list")
        each = [parts[0]] * len(value) if parts[-1] is Ellipsis else list(parts)
        if len(each) != len(value):
            raise ValueError(f"{place} has {len(value)} values instead of {len(each)}")
        return tuple(
            _value(part, item, f"{place}[{index}]")
            for index, (part, item) in enumerate(zip(each, value, strict=True))
        )
    if is_dataclass(hint):
        return record_from_json(cast(Any, hint), value, place)
    if origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif hint is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    else:
        fits = type(value) is hint  # a bool is an int, but not here
    if not fits:
        raise ValueError(f"{place} is {one_line(repr(value), 60)}")
    return value
