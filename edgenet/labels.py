"""The labels file: the names of the classes, one per line, in the order of the network's outputs."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from edgenet.errors import EdgenetError


def labels_text(labels: Sequence[str]) -> bytes:
    """Return the contents of a labels file: UTF-8, one name per line, each line ended by a newline.

    Names may repeat, as ImageNet's do.

    Raises:
        EdgenetError: a name is empty, starts or ends with a blank, or has a line break or another control character.
    """
    for number, label in enumerate(labels):
        if not label or label != label.strip() or _control(label):
            raise EdgenetError(
                f"label {number} is {label!r}",
                "give every class a name on one line, without blanks around it",
            )
    return "".join(f"{label}\n" for label in labels).encode()


def parse_labels(data: bytes, where: str) -> list[str]:
    """Return the names in a labels file written by edgenet or by a person.

    A missing last newline, CRLF line ends and a byte-order mark are accepted.

    Args:
        data: the file's bytes.
        where: the name of the file in error messages.

    Raises:
        EdgenetError: the file is not UTF-8, is empty, has a blank line, or a name has a control character.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EdgenetError(f"{where} is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    labels = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    labels = [label.strip() for label in labels]
    if not any(labels):
        raise EdgenetError(
            f"{where} names no classes", "write one name per line, in the order of the outputs"
        )
    for number, label in enumerate(labels, start=1):
        if not label:
            raise EdgenetError(f"line {number} of {where} is blank", "write one name on every line")
        if _control(label):
            raise EdgenetError(
                f"line {number} of {where} has a control character: {label!r}", "write names in plain text"
            )
    return labels


def _control(label: str) -> bool:
    """Return whether a name has a control character, which could move the cursor or change colours in a terminal."""
    return any(unicodedata.category(character) == "Cc" for character in label)
