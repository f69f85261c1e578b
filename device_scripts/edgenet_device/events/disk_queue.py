"""A queue on the disk, for sinks whose receiver is away: events in the order in which they came, within a budget.

It is a folder of segments, files with one event a line, and a file that says how far the oldest has been read. A line
is on the disk before it is sent, and counts as read after it was accepted. So after a power cut an event may be sent
twice, with the same id, and none is lost that had reached the disk.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from pathlib import Path

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import LONGEST_EVENT, read_event

LEAST_BYTES = 64 * 1024
"""The least budget of a queue."""
_SEGMENTS = 8
"""The budget is that of so many segments: when it is spent, the oldest segment is removed."""
_MOST_SEGMENTS = 10**9
_NAME = re.compile(r"(\d{10})\.jsonl")


class DiskQueue:
    """A queue of events on the disk.

    Args:
        folder: the queue's folder, which is made if it is missing; its parent must exist.
        budget_bytes: the most bytes that it takes.

    Attributes:
        lost: how many events were removed unread because the budget was spent, or could not be read.

    Raises:
        EdgenetError: the folder cannot be made or written, or another program uses the queue.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.lost = 0
        self._folder = folder
        self._most = max(budget_bytes, LEAST_BYTES) // _SEGMENTS
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise EdgenetError(
                f"cannot keep events in {folder}: {error.strerror}",
                "give --queue FOLDER, one that you may write to",
            ) from None
        try:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: nothing keeps two programs out of one queue
            pass
        except OSError:
            os.close(self._lock)
            raise EdgenetError(
                f"another program uses the queue {folder}", "give another --queue FOLDER, or end it"
            ) from None
        self._read_from, self._offset = self._position()
        self._next: bytes | None = None
        self._writing = max([self._read_from, *self._segments()])
        self._end_torn_line()

    def close(self) -> None:
        """Let another program use the queue."""
        os.close(self._lock)

    def append(self, line: bytes) -> None:
        """Add an event, whole or not at all.

        Args:
            line: the event as JSON, without a line break.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        path = self._path(self._writing)
        if path.exists() and path.stat().st_size + len(line) + 1 > self._most:
            self._writing += 1
            self._keep_budget()
            path = self._path(self._writing)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(file).st_size
            try:
                if os.write(file, line + b"\n") <= len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            except OSError:
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)

    def first(self) -> bytes | None:
        """Return the oldest event, a line of JSON that was checked; None if there is none.

        Lines that are no events are passed over and counted as lost.
        """
        while self._next is None:
            line = self._line_at_offset()
            if line is None:
                if self._read_from >= self._writing:
                    return None
                self._remove(self._read_from)
                later = [number for number in self._segments() if number > self._read_from]
                self._go_to(min([*later, self._writing]), 0)
                continue
            try:
                if len(line) > LONGEST_EVENT:
                    raise EdgenetError("the line is too long")
                read_event(line)
                self._next = line
            except EdgenetError:
                self.lost += 1
                self._go_to(self._read_from, self._offset + len(line))
        return self._next.rstrip(b"\n")

    def drop_first(self) -> None:
        """Remove the event that `first` returned."""
        if self._next is None:
            return
        length, self._next = len(self._next), None
        self._go_to(self._read_from, self._offset + length)
        if self._read_from == self._writing and self._offset >= self._size(self._writing):
            # All is read: begin anew, so that an idle queue takes no space.
            self._writing += 1
            self._go_to(self._writing, 0)
            self._remove(self._writing - 1)

    def _keep_budget(self) -> None:
        """Remove the oldest segments until the others, with a full new one, fit into the budget."""
        for number in self._segments()[: -(_SEGMENTS - 1)]:
            unread = self._offset if number == self._read_from else 0
            with contextlib.suppress(OSError), open(self._path(number), "rb") as file:
                file.seek(unread)
                self.lost += sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 16), b""))
            self._remove(number)
            if number >= self._read_from:
                self._next = None
                self._go_to(number + 1, 0)

    def _line_at_offset(self) -> bytes | None:
        """Return the next line with its end, at most one byte longer than an event may be; None at the end."""
        try:
            with open(self._path(self._read_from), "rb") as file:
                file.seek(self._offset)
                return file.readline(LONGEST_EVENT + 1) or None
        except OSError:
            return None

    def _end_torn_line(self) -> None:
        """End the last line, which a power cut may have torn; it is then passed over as any other bad line."""
        path = self._path(self._writing)
        with contextlib.suppress(OSError), open(path, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    file.write(b"\n")

    def _position(self) -> tuple[int, int]:
        """Return the segment that is read and how far it has been read; the oldest segment if nothing says it."""
        oldest = min(self._segments(), default=1)
        try:
            with open(self._folder / "position", "rb") as file:
                number, offset = file.read(40).split()
            place = int(number), int(offset)
        except (OSError, ValueError):
            return oldest, 0
        newest = max(self._segments(), default=_MOST_SEGMENTS)
        sound = oldest <= place[0] <= newest + 1 and 0 <= place[1] <= self._size(place[0])
        return place if sound else (oldest, 0)

    def _go_to(self, number: int, offset: int) -> None:
        self._read_from, self._offset = number, offset
        # Not synced: what a power cut takes back of it only sends events again, whose ids are known.
        with contextlib.suppress(OSError):
            file = os.open(self._folder / "position", os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.pwrite(file, f"{number:010d} {offset:012d}\n".encode(), 0)
            finally:
                os.close(file)

    def _segments(self) -> list[int]:
        names = [_NAME.fullmatch(name) for name in os.listdir(self._folder)]
        return sorted(int(name[1]) for name in names if name)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010d}.jsonl"

    def _size(self, number: int) -> int:
        try:
            return self._path(number).stat().st_size
        except OSError:
            return 0

    def _remove(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self._path(number).unlink()
