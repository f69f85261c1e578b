"""Text that stands in a line of ours: other people's, and figures that may be unknown."""

from __future__ import annotations


def one_line(text: str, longest: int = 200) -> str:
    """The text without line breaks and control characters, cut after `longest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:longest]


def figure(value: float | None, form: str, unknown: str = "-") -> str:
    """A value in a form such as "{:.3f}"; None is unknown."""
    return unknown if value is None else form.format(value)
