"""Text from other people's files, fit to stand in one line of ours."""

from __future__ import annotations


def one_line(text: str, longest: int = 200) -> str:
    """The text without line breaks and control characters, cut after `longest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:longest]
