"""Decode parsed JSON to frozen dataclasses, strictly: no missing or unknown fields, exact types only."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from edgenet.errors import EdgenetError

T = TypeVar("T")

_REMEDY = "make the bundle again"


def decode(kind: type[T], value: Any, where: str) -> T:
    """Return `value` as an instance of the dataclass `kind`.

    Fields may be str, int, float, tuple[X, ...], dict[str, X], another dataclass, or one of these or None.

    Args:
        kind: the dataclass.
        value: the result of `json.loads`.
        where: the file's name for error messages, which add the field's place
            (`manifest.json: input.height`).

    Raises:
        EdgenetError: a field is missing, unknown or of another type; the message names its place.
    """
    return _decode(kind, value, f"{where}:")


def _decode(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (kind,) = (choice for choice in get_args(kind) if choice is not type(None))
        return _decode(kind, value, place)
    if origin is tuple:
        _expect(value, list, place)
        return tuple(_decode(get_args(kind)[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        _expect(value, dict, place)
        return {name: _decode(get_args(kind)[1], item, _join(place, name)) for name, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _decode_fields(kind, value, place)
    if kind is float and type(value) is int:
        return float(value)
    _expect(value, kind, place)
    return value


def _decode_fields(kind: Any, value: Any, place: str) -> Any:
    _expect(value, dict, place)
    hints = get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    missing = [name for name in names if name not in value]
    unknown = sorted(value.keys() - set(names))
    if missing:
        raise EdgenetError(f"{_join(place, missing[0])} is missing", _REMEDY)
    if unknown:
        raise EdgenetError(f"{_join(place, repr(unknown[0]))} is not a known field", _REMEDY)
    return kind(**{name: _decode(hints[name], value[name], _join(place, name)) for name in names})


def _expect(value: Any, kind: type, place: str) -> None:
    # Compare exact types, because in Python True is also an int: isinstance would accept JSON's true as 1.
    if type(value) is not kind:
        raise EdgenetError(f"{place} has {value!r:.40} where the type {kind.__name__} belongs", _REMEDY)


def _join(place: str, name: str) -> str:
    return f"{place} {name}" if place.endswith(":") else f"{place}.{name}"
