"""Errors: the one exception that is meant for the user, and the check of a number that a program gives.

The exception is shown as a single line without a traceback.
"""

from __future__ import annotations

import operator
from typing import Any

from edgenet_device.foreign_text import LONGEST_LINE, one_line


class EdgenetError(Exception):
    """An error that says what was found, where, and what to do about it.

    Args:
        found: what was found and where, one sentence without a full stop.
        remedy: what the user can do, one sentence without a full stop; it follows `found` after a semicolon.

    Both may name files, labels and other texts that others wrote, so both become one printable line.
    """

    def __init__(self, found: str, remedy: str = "") -> None:
        self.found, self.remedy = one_line(found, LONGEST_LINE), one_line(remedy, LONGEST_LINE)
        super().__init__(f"{self.found}; {self.remedy}" if remedy else self.found)

    def __reduce__(self) -> tuple[type[EdgenetError], tuple[str, str]]:
        """Pickle the two parts, so that another process gets both: `args` holds only the joined text."""
        return type(self), (self.found, self.remedy)


def whole_number(value: Any, name: str) -> int:
    """Return an argument that must be a whole number, Python's or numpy's.

    Raises:
        TypeError: it is something else; True and False count as something else.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} is a whole number, but a {type(value).__name__} was given")
    return operator.index(value)
