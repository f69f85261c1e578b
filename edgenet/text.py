"""Formatting of text from outside, and of figures that may be unknown, for one line of output."""

from __future__ import annotations


def one_line(text: str, longest: int = 200) -> str:
    """Return the text without line breaks and control characters, cut after `longest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:longest]


def format_or_unknown(value: float | None, form: str, unknown: str = "-") -> str:
    """Format a value with a format string such as "{:.3f}"; return `unknown` if the value is None."""
    return unknown if value is None else form.format(value)
