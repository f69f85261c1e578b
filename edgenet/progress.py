"""The callback with which long work reports its progress, whoever displays it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with the name of the stage, the amount done, and the total amount (None if unknown)."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Ignore the progress."""


Say = Callable[[str], None]
"""Called with a line for the user."""
