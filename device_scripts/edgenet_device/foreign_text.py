"""Text that others wrote: labels, file names, answers of devices, JSON. It is printed and read only through here.

A label can hold terminal commands (ESC ]52 writes the clipboard, ESC [2J clears the screen) or marks that turn the
writing direction, and a JSON file can hold a number of a million digits.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any, NoReturn, TextIO

LONGEST_LABEL = 80
LONGEST_NAME = 200
LONGEST_LINE = 2000
LARGEST_JSON = 1 << 24
"""The most bytes of a JSON text. Parsed, the text takes up to 25 times as much memory."""
LARGEST_INTEGER = (1 << 63) - 1
# They join the parts of an emoji, and the letters of some scripts.
_JOINERS = "\u200c\u200d"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def printable(text: str, instead: str = " ") -> str:
    """Return the text with `instead` for control characters, line breaks, and marks that turn the direction.

    Invisible characters, unassigned ones and lone surrogates count as control characters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _JOINERS else instead for c in text)


def one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """Return a name or message that others wrote as one printable line of at most `longest` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def printable_lines(text: str) -> str:
    """Return a text of several lines, such as a table, with every line printable and not much longer than a screen."""
    return "\n".join(
        line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
        for line in map(printable, text.split("\n"))
    )


def is_number(text: str) -> bool:
    """Return whether a text is a whole number of at most 18 digits 0 to 9, which int() takes.

    `str.isdigit` is true for ² too, and int() refuses numbers of thousands of digits.
    """
    return text.isascii() and text.isdigit() and len(text) <= 18


def say(text: str, file: TextIO | None = None) -> None:
    """Print a text on stdout, or on `file`, at once, and without anything that a terminal could take as a command."""
    print(printable_lines(text), file=file or sys.stdout, flush=True)


def json_text(value: Any, indent: int | None = None, ensure_ascii: bool = True) -> str:
    """Return a value as strict JSON (RFC 8259); infinities and NaN become null.

    Whatever a terminal could take as a command is written as \\uXXXX.
    """
    try:
        text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)
    if text.isprintable():
        return text
    # Line breaks within strings are escaped already, so those that are left belong to the layout.
    return "".join(
        c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1].replace("\x7f", "\\u007f") for c in text
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(text: bytes | str, most: int = LARGEST_JSON, surrogates: bool = False) -> Any:
    """Return what a JSON text from outside says.

    Args:
        text: the text; bytes are UTF-8.
        most: the most bytes or characters to read.
        surrogates: accept lone surrogates, which stand for the bytes of file names that are not UTF-8.

    Raises:
        ValueError: the text is longer, is not UTF-8 or not JSON (NaN and Infinity are not), is nested too deeply, or
            holds a number outside the range of 64-bit integers or floats, or half a surrogate pair; the message
            is one line.
    """
    if len(text) > most:
        raise ValueError(
            f"it is larger than {most >> 20} MiB" if most >> 20 else f"it is longer than {most} bytes"
        )
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_float, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None
    if not surrogates and _SURROGATE.search(text):
        _check_surrogates(value)
    return value


def _integer(digits: str) -> int:
    # int() takes time with the square of the number of digits, and refuses many in newer versions of Python only.
    number = int(digits) if len(digits) <= 20 else LARGEST_INTEGER + 1
    if abs(number) > LARGEST_INTEGER:
        raise ValueError(f"it holds a whole number of {len(digits.lstrip('-'))} digits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"it holds the number {digits:.40}, which is too large")
    return number


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds a lone surrogate, which is no character") from None
