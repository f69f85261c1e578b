"""The labels file: the names of the classes, one per line, in the order of the network's outputs."""

from __future__ import annotations

import csv
import io
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
        if not label or label != label.strip() or _has_control_character(label):
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
        if _has_control_character(label):
            raise EdgenetError(
                f"line {number} of {where} has a control character: {label!r}", "write names in plain text"
            )
    return labels


def _has_control_character(label: str) -> bool:
    """Return whether a name has a control character, which could move the cursor or change colours in a terminal."""
    return any(unicodedata.category(character) == "Cc" for character in label)


# ==== edgenet.data.labels_csv
# Reads `labels.csv`, which gives the class of every photo when folders do not.

LABELS_FILE = "labels.csv"
MAX_CLASSES = 1_000_000


def read_labels(
    data: bytes, photos: Sequence[str], where: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """Return the photos that a `labels.csv` lists, sorted by name, with their labels.

    Args:
        data: the contents of the file: UTF-8, comma-separated, with column names in the first line. The columns `file`
            and `class_index` are required; `name` (of the class) is optional; others (such as `wnid`) are ignored.
        photos: the names of the photos that exist.
        where: the file's name for error messages.

    Returns:
        the photos' names, their class indices, and the class names by index ("" for classes without a name).

    Raises:
        EdgenetError: a column or a photo is missing, a photo is listed twice, a class index is not a whole number from
            0 to 999,999, a class has two names, no photo is listed, or the file is not a UTF-8 CSV file.
    """
    labels: dict[str, int] = {}
    class_names: dict[int, str] = {}
    existing = set(photos)
    for line, row in _rows(data, where):
        name, index = row["file"], _class_index(row["class_index"], f"line {line} of {where}")
        if name not in existing:
            raise EdgenetError(
                f"line {line} of {where} lists {name}, which does not exist",
                "add the photo or remove the line",
            )
        if name in labels:
            raise EdgenetError(f"line {line} of {where} lists {name} again", "remove one of the two lines")
        labels[name] = index
        called = row.get("name") or ""
        if class_names.setdefault(index, called) != called:
            raise EdgenetError(
                f"line {line} of {where} calls class {index} '{called}', but above it is '{class_names[index]}'",
                "give every class one name",
            )
    if not labels:
        raise EdgenetError(
            f"{where} lists no photos", "add lines to the file, or remove it to use the folders as classes"
        )
    names = sorted(labels)
    named = tuple(class_names.get(index, "") for index in range(max(class_names) + 1))
    return names, [labels[name] for name in names], named


def _rows(data: bytes, where: str) -> list[tuple[int, dict[str, str]]]:
    try:
        reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        missing = {"file", "class_index"} - set(reader.fieldnames or ())
        if missing:
            raise EdgenetError(
                f"{where} has no column {' and no column '.join(sorted(missing))}",
                "its first line must name the columns, such as file,class_index,name",
            )
        # csv.DictReader fills the missing columns of a short line with None.
        return [(reader.line_num, {key: value or "" for key, value in row.items() if key}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise EdgenetError(
            f"{where} is not a UTF-8 CSV file: {error}", "save it again as CSV in UTF-8"
        ) from error


def _class_index(text: str, where: str) -> int:
    if not text.strip().isdecimal() or int(text) >= MAX_CLASSES:
        raise EdgenetError(f"{where} has the class index '{text}'", "write a whole number from 0 to 999,999")
    return int(text)
