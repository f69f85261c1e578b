"""Checked access to the fields of untrusted JSON: each has the expected type, or an error names its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgenet.errors import EdgenetError

_REQUIRED = object()


class Fields:
    """The fields of one JSON object.

    Args:
        value: the parsed JSON value.
        where: the file's name and the place in it, for error messages.

    Raises (all methods that read a field, and the constructor):
        EdgenetError: the value is missing or has another type.
    """

    def __init__(self, value: Any, where: str) -> None:
        self._where = where
        if not isinstance(value, Mapping):
            raise self._wrong("", value, "an object")
        self._value = value

    def has(self, name: str) -> bool:
        """Return whether the field exists and is not null."""
        return self._value.get(name) is not None

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(self._value)

    def text(self, name: str, default: Any = _REQUIRED) -> str:
        """Return a string, or `default` if it is missing or null."""
        return str(self._of(name, (str,), "text", default))

    def number(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a finite number as float, or `default` if it is missing or null."""
        value = self._of(name, (int, float), "a number", default)
        if value is default:
            return default
        if not math.isfinite(value):
            raise self._wrong(name, value, "a finite number")
        return float(value)

    def integer(self, name: str, default: Any = _REQUIRED) -> Any:
        """Return a whole number, or `default` if it is missing or null."""
        return self._of(name, (int,), "a whole number", default)

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, value, "true or false")
        return value

    def inside(self, name: str) -> Fields:
        """Return the object in a field."""
        return Fields(self._of(name, (Mapping,), "an object", _REQUIRED), self._place(name))

    def rows(self, name: str, default: Any = ()) -> list[Any]:
        """Return a list with elements of any type, or `default` if it is missing or null."""
        return list(self._of(name, (list,), "a list", default))

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects; an empty list if it is missing or null."""
        return [Fields(row, f"{self._place(name)}[{i}]") for i, row in enumerate(self.rows(name))]

    def numbers(self, name: str, default: Any = _REQUIRED) -> list[float]:
        """Return a list of finite numbers, or `default` if it is missing or null."""
        values = self._of(name, (list,), "a list of numbers", default)
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise self._wrong(name, value, "a list of finite numbers")
        return list(values)

    def _of(self, name: str, kinds: tuple[type, ...], wanted: str, default: Any) -> Any:
        value = self._value.get(name)
        if value is None and default is not _REQUIRED:
            return default
        # In Python True is an int, but JSON's true is not a number.
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise self._wrong(name, value, wanted)
        return value

    def _place(self, name: str) -> str:
        return f"{self._where}.{name}" if ": " in self._where else f"{self._where}: {name}"

    def _wrong(self, name: str, value: Any, wanted: str) -> EdgenetError:
        place = self._place(name) if name else self._where
        what = "nothing" if value is None else f"{value!r:.40}"
        return EdgenetError(f"{place} has {what} where {wanted} belongs", "measure again with edgenet bench")
