"""Tables that give the class of every photo when folders do not: `labels.csv`, `_classes.csv`, and other CSVs.

Three kinds are read:

- `labels.csv` with the columns file, class_index and optionally name;
- Roboflow's `_classes.csv` with a column of file names and a column of 0 and 1 for every class;
- any other CSV with a column of file names (file, filename, image_id, ...) and a column of classes (label, class, ...),
  or with just two columns. Names may lack the folder or the ending. Commas, semicolons or tabs separate the columns.
"""

from __future__ import annotations

import csv
import io
import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgenet.errors import EdgenetError, one_line

LABELS_CSV = "labels.csv"
ONE_HOT_CSV = "_classes.csv"
MAX_CLASSES = 1_000_000
MAX_TABLE_BYTES = 8 << 20
"""The most bytes of a table, enough for 150,000 photos; parsed, a table takes up to 60 times as much memory."""
MAX_ROWS = 1_000_000
_FILE_COLUMNS = [
    "file", "filename", "file_name", "filepath", "file_path", "path", "image", "image_id",
    "imageid", "image_name", "imagename", "image_path", "img", "img_id", "img_name", "photo",
    "picture", "name", "id",
]  # fmt: skip
_LABEL_COLUMNS = [
    "label", "labels", "class", "class_name", "classname", "class_label", "category", "target",
    "species", "breed", "diagnosis",
]  # fmt: skip
_BOX_COLUMNS = frozenset({"xmin", "ymin", "xmax", "ymax", "x1", "y1", "x2", "y2", "bbox", "boundingbox"})


@dataclass(frozen=True)
class LabelledNames:
    """The photos that a table lists.

    Attributes:
        names: the names of the photos, sorted.
        labels: the class index of each.
        class_names: the class names by index; "" for classes without a name.
    """

    names: tuple[str, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]


def read_labels_csv(data: bytes, photos: Sequence[str], where: str) -> LabelledNames:
    """Return the photos that a `labels.csv` lists.

    Args:
        data: the contents of the file: UTF-8, comma-separated, with column names in the first line. The columns `file`
            and `class_index` are required; `name` (of the class) is optional; others (such as `wnid`) are ignored.
        photos: the names of the photos that exist.
        where: the file's name for error messages.

    Raises:
        EdgenetError: a column or a photo is missing, a photo is listed twice, a class index is not a whole number from
            0 to 999,999, a class has two names, no photo is listed, or the file is not a UTF-8 CSV file.
    """
    labels: dict[str, int] = {}
    class_names: dict[int, str] = {}
    existing = set(photos)
    rows = _indexed_rows(data, where)
    for line, row in rows:
        name, index = row["file"], _class_index(row["class_index"], f"line {line} of {where}")
        if name not in existing:
            raise _missing(line, name, where, sum(other["file"] not in existing for _, other in rows))
        if name in labels:
            raise EdgenetError(
                f"line {line} of {where} lists {one_line(name)} again", "remove one of the two lines"
            )
        labels[name] = index
        class_name = row.get("name") or ""
        if class_names.setdefault(index, class_name) != class_name:
            raise EdgenetError(
                f"line {line} of {where} calls class {index} '{one_line(class_name)}', but above it is "
                f"'{one_line(class_names[index])}'",
                "give every class one name",
            )
    if not labels:
        raise EdgenetError(
            f"{where} lists no photos", "add lines to the file, or remove it to use the folders as classes"
        )
    names = sorted(labels)
    named = tuple(class_names.get(index, "") for index in range(max(class_names) + 1))
    return LabelledNames(tuple(names), tuple(labels[name] for name in names), named)


def _missing(line: int, name: str, where: str, count: int) -> EdgenetError:
    more = f", like {count - 1} more of its photos" if count > 1 else ""
    return EdgenetError(
        f"line {line} of {where} lists {one_line(name)}, which does not exist{more}",
        "add the photo or remove the line",
    )


def _indexed_rows(data: bytes, where: str) -> list[tuple[int, dict[str, str]]]:
    table = _read(data, where)
    missing = {"file", "class_index"} - set(table.header)
    if missing:
        raise EdgenetError(
            f"{where} has no column {' and no column '.join(sorted(missing))}",
            "its first line must name the columns, such as file,class_index,name",
        )
    # A short line lacks its last columns.
    return [
        (line, dict(zip(table.header, cells + [""] * len(table.header), strict=False)))
        for line, cells in table.rows
    ]


def _class_index(text: str, where: str) -> int:
    digits = text.strip()
    if not digits.isdecimal() or len(digits.lstrip("0")) > 6:
        raise EdgenetError(
            f"{where} has the class index '{one_line(text, 40)}'", "write a whole number from 0 to 999,999"
        )
    return int(digits.lstrip("0") or "0")  # int() itself refuses thousands of zeros


def names_files_and_classes(data: bytes, where: str) -> bool:
    """Return whether the columns of a table are called as files and classes are, and none is called class_index.

    Raises:
        EdgenetError: it is not a UTF-8 CSV file.
    """
    header = _read(data, where).header
    return "class_index" not in header and _columns(header) is not None


def is_for_objects(data: bytes, where: str) -> bool:
    """Return whether the columns of a table are boxes around objects.

    Raises:
        EdgenetError: it is not a UTF-8 CSV file.
    """
    return not _BOX_COLUMNS.isdisjoint(_read(data, where).header)


def read_one_hot(data: bytes, finder: PhotoFinder, where: str) -> LabelledNames:
    """Return the photos that a `_classes.csv` lists; the classes keep the order of their columns.

    Args:
        data: the contents of the file.
        finder: finds the photos by name.
        where: the file's name for error messages.

    Raises:
        EdgenetError: a photo does not exist or has not exactly one class, or the file is not a table of this kind.
    """
    table = _read(data, where, plain=False)
    classes = [_class_name(name) for name in table.header[1:]]
    if not classes:
        raise EdgenetError(f"{where} names no classes", "give every class a column")
    given: list[tuple[int, str, str]] = []
    for line, cells in table.rows:
        own = [name for name, cell in zip(classes, cells[1:], strict=False) if _is_one(cell, line, where)]
        if len(own) != 1:
            several = f"{len(own)} classes ({', '.join(map(one_line, own[:4]))})" if own else "no class"
            raise EdgenetError(
                f"line {line} of {where} gives {one_line(cells[0])} {several}",
                "leave only photos of one class each, since a classifier gives one answer a photo",
            )
        given.append((line, cells[0], own[0]))
    empty = {"unlabeled", "unlabelled"} - {name.lower() for _, _, name in given}
    return _labelled(given, [name for name in classes if name.lower() not in empty], finder, where)


def _is_one(cell: str, line: int, where: str) -> bool:
    value = cell.strip().lower()
    if value not in ("0", "1", "0.0", "1.0", "true", "false", ""):
        raise EdgenetError(
            f"line {line} of {where} has the cell '{one_line(cell, 40)}'",
            "write 1 for the photo's class, else 0",
        )
    return value in ("1", "1.0", "true")


def read_plain_table(data: bytes, finder: PhotoFinder, where: str) -> LabelledNames | None:
    """Return the photos that a table of files and classes lists, or None if it is no such table of these photos.

    The classes are ordered by name; if all are whole numbers, by number.

    Args:
        data: the contents of the file.
        finder: finds the photos by name.
        where: the file's name for error messages.

    Raises:
        EdgenetError: some of the listed photos do not exist, a photo has two classes or none, or the file is not a
            UTF-8 CSV file.
    """
    table = _read(data, where)
    columns = _columns(table.header)
    rows = table.rows
    if "class_index" in table.header:
        return None
    if columns is None and len(table.header) == 2 and finder.find(_read(data, where, plain=False).header[0]):
        columns, rows = (0, 1), _read(data, where, headless=True).rows  # the first line is a photo already
    if columns is None or not _BOX_COLUMNS.isdisjoint(table.header):
        return None
    file, label = columns
    given = [
        (line, cells[file], _class_name(cells[label]) if label < len(cells) else "")
        for line, cells in rows
        if file < len(cells)
    ]
    if not any(finder.find(name) for _, name, _ in given):
        return None
    unnamed = next(((line, name) for line, name, class_name in given if not class_name), None)
    if unnamed is not None:
        raise EdgenetError(
            f"line {unnamed[0]} of {where} gives {one_line(unnamed[1])} no class",
            "write its class or remove the line",
        )
    return _labelled(given, _ordered({name for _, _, name in given}), finder, where)


def _ordered(names: set[str]) -> list[str]:
    numbers = all(name.isdecimal() and len(name) < 10 for name in names)
    return sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names)


def _class_name(cell: str) -> str:
    """Return a class name without blanks around it, in the form in which all computers spell it alike (NFC)."""
    return unicodedata.normalize("NFC", cell.strip())


def _labelled(
    given: Sequence[tuple[int, str, str]], classes: Sequence[str], finder: PhotoFinder, where: str
) -> LabelledNames:
    """Find the photos of (line, name, class name); the photos of other splits are left out."""
    index = {name: number for number, name in enumerate(classes)}
    first: dict[str, tuple[int, str]] = {}
    for line, name, class_name in given:
        found = finder.find(name)
        if found is None:
            count = sum(finder.find(other) is None for _, other, _ in given)
            raise _missing(line, name, where, count)
        earlier, other = first.setdefault(found, (line, class_name))
        if other != class_name:
            raise EdgenetError(
                f"line {line} of {where} gives {one_line(name)} the class {one_line(class_name)}, but line {earlier} "
                f"gives it {one_line(other)}",
                "give every photo one class",
            )
    names = sorted(set(first) & finder.wanted)
    return LabelledNames(tuple(names), tuple(index[first[name][1]] for name in names), tuple(classes))


class PhotoFinder:
    """Finds photos by the names in a table, which may lack the folder or the ending of the photos' own names.

    Attributes:
        wanted: the names of the photos of the split that is used.

    Args:
        wanted: these names.
        everything: the names of all photos of the data, also of those in other splits.
    """

    def __init__(self, wanted: Sequence[str], everything: Sequence[str]) -> None:
        self.wanted = frozenset(wanted)
        self._exact = self.wanted | frozenset(everything)
        self._found: dict[str, str | None] = {}
        for name in (*wanted, *everything):
            path = PurePosixPath(name)
            for start in range(len(path.parts)):
                tail = "/".join(path.parts[start:])
                for spelling in (tail, tail.removesuffix(path.suffix)):
                    self._add(spelling, name)

    def _add(self, spelling: str, name: str) -> None:
        """Note a spelling of a photo; if two photos have it, it says nothing, unless only the first is wanted."""
        before = self._found.setdefault(spelling, name)
        if before != name and (name in self.wanted or before not in self.wanted):
            self._found[spelling] = None

    def find(self, name: str) -> str | None:
        """Return the name of the photo that a table calls `name`, or None if there is none or several."""
        plain = name.strip().replace("\\", "/").removeprefix("./").removeprefix("/")
        return plain if plain in self._exact else self._found.get(plain)


@dataclass(frozen=True)
class _Table:
    """The column names (in lower case with "_" for blanks, or as written), and (line number, cells) of each row."""

    header: list[str]
    rows: list[tuple[int, list[str]]]


def _read(data: bytes, where: str, *, plain: bool = True, headless: bool = False) -> _Table:
    try:
        text = data.decode("utf-8-sig")
        rows = list(itertools.islice(_rows(text), MAX_ROWS + 1))
    except (UnicodeDecodeError, csv.Error) as error:
        raise EdgenetError(
            f"{where} is not a UTF-8 CSV file: {error}", "save it again as CSV in UTF-8"
        ) from error
    if len(rows) > MAX_ROWS:
        raise EdgenetError(f"{where} has more than {MAX_ROWS:,} lines", "split the photos into several sets")
    header = [] if headless or not rows else [cell.strip() for cell in rows[0][1]]
    if plain:
        header = [cell.lower().replace(" ", "_") for cell in header]
    return _Table(header, rows if headless else rows[1:])


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _columns(header: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the file names and the classes among the columns, or None."""
    file = next((header.index(name) for name in _FILE_COLUMNS if name in header), None)
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    if file is not None and label is None and len(header) == 2:
        label = 1 - file
    return None if file is None or label is None or file == label else (file, label)
