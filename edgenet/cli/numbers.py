"""Lists of numbers on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

Number = TypeVar("Number", int, float)


def numbers(text: str, kind: Callable[[str], Number], option: str) -> tuple[Number, ...]:
    """Such as "1,2,4"; anything else is wrong usage.

    Args:
        option: its name, for the message.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} is '{text}'; give numbers with commas between them") from None
