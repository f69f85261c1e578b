"""The sink --log: a file with one line for each event, CSV or JSON, that is rotated by size."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import ENTRIES, SCHEMA, Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.output_files import check_output

KEPT_FILES = 5
"""How many files there are at most, the one that grows included."""
SUFFIXES = (".csv", ".jsonl")
_COLUMNS = tuple(ENTRIES)
_HEAD = ",".join(_COLUMNS).encode()
_JSON_HEAD = f'{{"schema": "{SCHEMA}"'.encode()


class LogSink(Sink):
    """Appends every event to a file. A full one becomes FILE.1, FILE.1 becomes FILE.2, and the oldest is removed.

    Only files that begin as edgenet's logs do are appended to, renamed or removed.

    Args:
        path: the file; its name says how lines look: .csv or .jsonl.
        most_bytes: size from which on a file is full.

    Raises:
        EdgenetError: the name ends in neither, the folder cannot be written, or FILE is something else than a log.
    """

    capacity = 10_000

    def __init__(self, path: Path, most_bytes: int) -> None:
        if path.suffix.lower() not in SUFFIXES:
            raise EdgenetError(f"{path} does not end in .csv or .jsonl", "give the log such a name")
        check_output(path)
        if path.exists() and not _is_log(path):
            raise EdgenetError(f"{path} is not a log of edgenet", "give the log another name")
        self.name = f"the log {path.name}"
        self._path, self._most = path, most_bytes
        self._csv = path.suffix.lower() == ".csv"
        self._file: int | None = None

    def deliver(self, event: Event, picture: Picture) -> None:
        """Append an event, whole or not at all.

        Raises:
            EdgenetError, OSError: the file cannot be written.
        """
        line = self._line(event)
        size = self._size()
        if size and size + len(line) > self._most:
            self._rotate()
            size = self._size()
        if not size and self._csv:
            line = _HEAD + b"\n" + line
        self._append(line, size)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _line(self, event: Event) -> bytes:
        if not self._csv:
            return event.line().encode() + b"\n"
        text = io.StringIO()
        row = [event.entries[name] for name in _COLUMNS]
        csv.writer(text, lineterminator="\n").writerow(["" if value is None else value for value in row])
        return text.getvalue().encode()

    def _size(self) -> int:
        """Open the file if it is not open or somebody has removed it; return its size, bytes."""
        if self._file is not None and not _same_file(self._file, self._path):
            self.close()
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _end_torn_line(self._file)
        return os.fstat(self._file).st_size

    def _append(self, line: bytes, size: int) -> None:
        file = self._file
        assert file is not None
        try:
            written = os.write(file, line)
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError:
            with contextlib.suppress(OSError):  # half a line must not stay: the event is written again
                os.ftruncate(file, size)
            raise

    def _rotate(self) -> None:
        numbered = [self._path.with_name(f"{self._path.name}.{number}") for number in range(1, KEPT_FILES)]
        for path in numbered:
            if os.path.lexists(path) and not _is_log(path):
                raise EdgenetError(f"{path} is not a log of edgenet and is in the way", "move it elsewhere")
        self.close()
        for older, newer in zip(reversed(numbered), [*reversed(numbered[:-1]), self._path]):
            if newer.exists():
                os.replace(newer, older)


def _same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _end_torn_line(file: int) -> None:
    """End the last line of a file, which a power cut may have torn."""
    size = os.fstat(file).st_size
    if size and os.pread(file, 1, size - 1) != b"\n":
        os.write(file, b"\n")


def _is_log(path: Path) -> bool:
    """Return whether a file is empty or begins as edgenet's logs do."""
    try:
        if path.is_symlink() or not path.is_file():
            return False
        with open(path, "rb") as file:
            head = file.read(len(_HEAD) + 1)
    except OSError:
        return False
    return not head or head.startswith((_HEAD + b"\n", _JSON_HEAD))
