"""The labels file: the names of the classes, one a line, in the order of the network's outputs."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from edgenet.errors import EdgenetError


def labels_text(labels: Sequence[str]) -> bytes:
    """The labels file: UTF-8, one name a line, a newline behind each. Names may repeat, as ImageNet's do.

    Raises:
        EdgenetError: a name is empty, has blanks around it, or holds a line break or another control character.
    """
    for number, label in enumerate(labels):
        if not label or label != label.strip() or _control(label):
            raise EdgenetError(
                f"label {number} is {label!r}",
                "give every class a name on one line, without blanks around it",
            )
    return "".join(f"{label}\n" for label in labels).encode()


def parse_labels(data: bytes, where: str) -> list[str]:
    """The names in a labels file, ours or a person's: no last newline, CRLF, and a byte-order mark are fine.

    Args:
        data: the file's bytes.
        where: how to call the file in an error.

    Raises:
        EdgenetError: not UTF-8, nothing in it, a blank line between names, or a control character in one.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgenetError(f"{where} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    labels = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    labels = [label.strip() for label in labels]
    if not any(labels):
        raise EdgenetError(f"{where} names no classes", "write one name per line, one line per output")
    for number, label in enumerate(labels, start=1):
        if not label:
            raise EdgenetError(f"line {number} of {where} is blank", "write one name on every line")
        if _control(label):
            raise EdgenetError(
                f"line {number} of {where} has a control character: {label!r}", "write names in plain text"
            )
    return labels


def _control(label: str) -> bool:
    """A character that would move the cursor or colour a terminal, where names are printed in columns."""
    return any(unicodedata.category(character) == "Cc" for character in label)
