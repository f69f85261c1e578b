"""How long work tells how far it is, without knowing who shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, how much is done, and how much there is (None where nobody knows)."""


def silent(stage: str, done: int, total: int | None) -> None:
    """Shows nothing."""
