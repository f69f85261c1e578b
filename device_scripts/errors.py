"""The one kind of error that is meant for the user: a single line, no traceback."""

from __future__ import annotations


class EdgenetError(Exception):
    """Says what was found, where, and what to do about it.

    Args:
        found: what was found and where, one sentence without a full stop.
        remedy: what the user can do, one sentence without a full stop; joined with a semicolon.
    """

    def __init__(self, found: str, remedy: str = "") -> None:
        self.found = found
        self.remedy = remedy
        super().__init__(f"{found}; {remedy}" if remedy else found)

    def __reduce__(self) -> tuple[type[EdgenetError], tuple[str, str]]:
        """Its two parts, for a copy in another process: `args` holds them joined."""
        return type(self), (self.found, self.remedy)
