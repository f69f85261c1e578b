"""Lists of numbers on the command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

Number = TypeVar("Number", int, float)


def numbers(text: str, kind: Callable[[str], Number], option: str) -> tuple[Number, ...]:
    """Parse a list of numbers such as "1,2,4".

    Args:
        text: the numbers, separated by commas.
        kind: `int` or `float`.
        option: the option's name, for the error message.

    Raises:
        BadParameter: the text is not such a list.
    """
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{option} is '{text}'; give numbers with commas between them") from None
