"""The error type of the whole project, and other people's text made fit for its one line.

The type is defined in `device_scripts`, which must run without edgenet.
"""

from __future__ import annotations

from edgenet_device.errors import EdgenetError as EdgenetError


def one_line(text: str, longest: int = 200) -> str:
    """Return the text without line breaks and control characters, cut after `longest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:longest]
