"""Reading `labels.csv`: which class every photo belongs to, where folders do not say it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from edgenet.errors import EdgenetError

LABELS_FILE = "labels.csv"
MAX_CLASSES = 1_000_000


def read_labels(
    data: bytes, photos: Sequence[str], where: str
) -> tuple[list[str], list[int], tuple[str, ...]]:
    """The photos that a `labels.csv` lists, by name, with their labels.

    Args:
        data: the file: UTF-8, comma-separated, the first line naming the columns; `file` and `class_index` are
            needed, `name` (of the class) is used, others (such as `wnid`) are not.
        photos: the names of the photos that there are.
        where: what errors call the file.

    Returns:
        names, class indices, and the name of class i at i ("" where the file has none).

    Raises:
        EdgenetError: a column or a photo is missing, a photo is listed twice, an index is not a whole number, or
            one class has two names.
    """
    labels: dict[str, int] = {}
    class_names: dict[int, str] = {}
    existing = set(photos)
    for line, row in _rows(data, where):
        name, index = row["file"], _class_index(row["class_index"], f"line {line} of {where}")
        if name not in existing:
            raise EdgenetError(
                f"line {line} of {where} lists {name}, which is not there", "add it or remove the line"
            )
        if name in labels:
            raise EdgenetError(f"line {line} of {where} lists {name} again", "remove one of the two lines")
        labels[name] = index
        called = row.get("name") or ""
        if class_names.setdefault(index, called) != called:
            raise EdgenetError(
                f"line {line} of {where} calls class {index} '{called}', before it was '{class_names[index]}'",
                "give every class one name",
            )
    if not labels:
        raise EdgenetError(
            f"{where} lists no photos", "add lines to it, or remove it to use the folders as classes"
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
        # A short line leaves None in the columns it lacks.
        return [(reader.line_num, {key: value or "" for key, value in row.items() if key}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise EdgenetError(
            f"{where} is not a UTF-8 CSV file: {error}", "save it again as CSV, UTF-8"
        ) from error


def _class_index(text: str, where: str) -> int:
    if not text.strip().isdecimal() or int(text) >= MAX_CLASSES:
        raise EdgenetError(f"{where} has the class index '{text}'", "write a whole number from 0 on")
    return int(text)
