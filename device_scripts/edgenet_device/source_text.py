"""A source as its user wrote it: its kind, what may be shown of a URL, and @FILE, which keeps a URL secret.

The URL of a camera often holds its password. The command line of a program can be read by every user of the machine,
and what a program prints ends up in terminals, journals and reports.
"""

from __future__ import annotations

import os
import re

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import printable

CAMERA = re.compile(r"(/dev/video)?([0-9]{1,5})")
CSI = re.compile(r"csi(?::([0-9]{1,5}))?")
STREAM = re.compile(r"(?:rtsps?|https?|udp|rtmp|tcp)://.+", re.IGNORECASE)
_LONGEST = 4096
# One slash is enough here: a URL that is taken for a path loses the other.
_URL = re.compile(r"([a-z][a-z0-9+.-]*:/+)(.*)", re.IGNORECASE | re.DOTALL)
_AFTER_PATH = re.compile(r"[?#]")


def is_live(source: str) -> bool:
    """Return whether the source is a camera or stream: its frames keep coming, and are lost unless taken."""
    return any(kind.fullmatch(source) for kind in (CAMERA, CSI, STREAM))


def is_stream(source: str) -> bool:
    """Return whether the source is the URL of a stream."""
    return STREAM.fullmatch(source) is not None


def read_source(given: str) -> str:
    """Return the source that was given, or for "@FILE" the only line of that file.

    Raises:
        EdgenetError: the file cannot be read, or does not hold one line with a source.
    """
    if not given.startswith("@"):
        return given
    path = given[1:]
    try:
        with open(path, "rb") as file:
            text = os.fsdecode(file.read(_LONGEST + 1)).strip("\r\n")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise EdgenetError(
            f"cannot read the source from {path}: {getattr(error, 'strerror', None) or error}",
            "give @FILE with a file whose only line is the source",
        ) from None
    if not text or len(text) > _LONGEST or printable(text) != text:
        raise EdgenetError(
            f"{path} does not hold one line with a source", "put the URL of the camera there, alone"
        )
    return text


def shown_source(source: str) -> str:
    """Return a source that may be shown: a URL without its user, password, query and fragment."""
    url = _URL.fullmatch(source)
    if url is None:
        return source
    before, *after = _AFTER_PATH.split(url[2], maxsplit=1)
    if "@" not in before and after and "@" in after[0]:
        # Either the query holds an @, or the password holds a question mark: then its beginning is in `before`.
        return f"{url[1]}..."
    return url[1] + before.rpartition("@")[2]


def has_secret(source: str) -> bool:
    """Return whether a source must not be shown as it is."""
    return shown_source(source) != source
