"""The sinks --snapshots and --clips: the frame of an event as a photo, and the seconds around it as a film.

Both keep their files within a disk budget; the oldest are removed again. A clip's seconds before the event are there
already when the event comes: they are kept as JPEGs in memory, within a bound. The JPEGs go into the film as they are,
so that a small device need not encode them again.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.events.event import Event
from edgenet_device.events.hub import Picture, Sink
from edgenet_device.events.watcher import Happening, Trigger
from edgenet_device.output_files import write_atomically

RATE = 10.0
"""The most pictures per second in a clip."""
CLIP_QUALITY = 80
MOST_BYTES = 32_000_000
"""The most bytes of pictures in memory: the seconds before, or a whole clip."""
_HAS_INDEX, _KEY_FRAME = 0x10, 0x10
_BITS = 24
_LONGEST_LABEL = 40
_NOT_IN_A_NAME = re.compile(r"[^\w]+")
SNAPSHOT_QUALITY = 90


class SnapshotSink(Sink):
    """Writes the frame of every event that a trigger waits for as a JPEG.

    Args:
        triggers: what is kept.
        files: where to.
    """

    capacity = 8  # frames are large
    attempts = 3
    wants_pictures = True

    def __init__(self, triggers: Sequence[Trigger], files: KeptFiles) -> None:
        self.name = "the snapshots"
        self._triggers, self._files = tuple(triggers), files

    def takes(self, happening: Happening) -> bool:
        """Return whether a trigger fires."""
        return any(trigger.fires(happening) for trigger in self._triggers)

    def deliver(self, event: Event, picture: Picture) -> None:
        """Write the frame."""
        if picture is None:
            return
        encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, SNAPSHOT_QUALITY])
        if not encoded:
            raise EdgenetError("OpenCV cannot encode the frame")
        self._files.write(event, data.tobytes())


class ClipSink(Sink):
    """Writes a clip for every event that a trigger waits for; an event during a clip makes no clip of its own.

    Args:
        triggers: what is kept.
        files: where to.
        before_s: seconds before the event.
        after_s: seconds after it.
    """

    capacity = 8
    attempts = 1
    frames_per_second = RATE

    def __init__(
        self, triggers: Sequence[Trigger], files: KeptFiles, before_s: float, after_s: float
    ) -> None:
        self.name = "the clips"
        self._triggers, self._files = tuple(triggers), files
        self._before_s, self._after_s = before_s, after_s
        self._pictures: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._size = (0, 0)
        self._event: Event | None = None
        self._until_s = 0.0
        self._came = time.monotonic()

    def takes(self, happening: Happening) -> bool:
        """Return whether a trigger fires."""
        return any(trigger.fires(happening) for trigger in self._triggers)

    def take_frame(self, pixels: np.ndarray, moment_s: float) -> None:
        """Keep a frame; write the clip if this frame is its last.

        Raises:
            EdgenetError: the clip cannot be written; it is given up.
        """
        size = pixels.shape[1], pixels.shape[0]
        encoded, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, CLIP_QUALITY])
        if not encoded:
            raise EdgenetError("OpenCV cannot encode the frame")
        again = bool(self._pictures) and moment_s < self._pictures[-1][0]  # the film begins anew
        if size != self._size or again:
            self._finish()
            self._forget()
        self._size, self._came = size, time.monotonic()
        self._pictures.append((moment_s, data.tobytes()))
        self._bytes += len(data)
        if self._event is None:
            self._forget_before(moment_s - self._before_s)
        elif moment_s >= self._until_s or self._bytes > MOST_BYTES:
            self._finish()
        while self._bytes > MOST_BYTES:
            self._forget_first()

    def deliver(self, event: Event, picture: Picture) -> None:
        """Begin a clip, unless one is being made."""
        if self._event is None and self._pictures:
            self._event = event
            self._until_s = self._pictures[-1][0] + self._after_s

    def work(self) -> float | None:
        """Write a clip whose frames come no more, because the camera is lost."""
        if self._event is None:
            return None
        left = self._came + self._after_s + 1.0 - time.monotonic()
        if left > 0:
            return left
        self._finish()
        return None

    def close(self) -> None:
        """Write what there is of a clip."""
        self._finish()

    def _finish(self) -> None:
        event, self._event = self._event, None
        if event is None:
            return
        first, last = self._pictures[0][0], self._pictures[-1][0]
        count = len(self._pictures)
        rate = (count - 1) / (last - first) if last > first else RATE
        clip = avi_of([data for _, data in self._pictures], self._size, min(max(rate, 0.1), 240.0))
        self._forget_before(last - self._before_s)
        self._files.write(event, clip)

    def _forget_before(self, moment_s: float) -> None:
        while self._pictures and self._pictures[0][0] < moment_s:
            self._forget_first()

    def _forget_first(self) -> None:
        self._bytes -= len(self._pictures.popleft()[1])

    def _forget(self) -> None:
        self._pictures.clear()
        self._bytes = 0


def avi_of(pictures: Sequence[bytes], size: tuple[int, int], rate: float) -> bytes:
    """Return an AVI file of JPEGs (Motion JPEG).

    https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference describes the format.

    Args:
        pictures: JPEGs of one size, at least one.
        size: width and height, pixels.
        rate: pictures per second.
    """
    width, height = size
    count, largest = len(pictures), max(map(len, pictures))
    period_us = round(1e6 / rate)
    main = struct.pack(
        "<14I",
        period_us,
        round(largest * rate),
        0,
        _HAS_INDEX,
        count,
        0,
        1,
        largest,
        width,
        height,
        0,
        0,
        0,
        0,
    )
    stream = struct.pack(
        "<4s4sIHHIIIIIIiI4H", b"vids", b"MJPG", 0, 0, 0, 0, period_us, 1_000_000, 0, count, largest, -1, 0, 0, 0,
        width, height,
    )  # fmt: skip
    layout = struct.pack(
        "<IiiHH4sIiiII", 40, width, height, 1, _BITS, b"MJPG", width * height * 3, 0, 0, 0, 0
    )
    streams = _list(b"strl", _chunk(b"strh", stream) + _chunk(b"strf", layout))
    frames, index, place = [], [], 4
    for picture in pictures:
        frame = _chunk(b"00dc", picture)
        index.append(struct.pack("<4sIII", b"00dc", _KEY_FRAME, place, len(picture)))
        frames.append(frame)
        place += len(frame)
    body = _list(b"hdrl", _chunk(b"avih", main) + streams) + _list(b"movi", b"".join(frames))
    return _list(b"AVI ", body + _chunk(b"idx1", b"".join(index)), b"RIFF")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _list(kind: bytes, data: bytes, name: bytes = b"LIST") -> bytes:
    return name + struct.pack("<I", len(data) + 4) + kind + data


class KeptFiles:
    """The files of one kind that edgenet keeps in a folder of the user's within a disk budget.

    Only files with a name that it gave are counted and removed. Whoever wants to keep one renames it or moves it away.

    Args:
        option: the option that named the folder, for messages.
        folder: the folder, which must exist.
        suffix: the end of their names, such as ".jpg".
        budget_bytes: the most bytes that they take together.

    Raises:
        EdgenetError: the folder is missing or cannot be written to.
    """

    def __init__(self, option: str, folder: Path, suffix: str, budget_bytes: int) -> None:
        if not folder.is_dir():
            raise EdgenetError(f"{option}: there is no folder {folder}", "make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise EdgenetError(
                f"{option}: {folder} is read-only for you", "choose a folder that you may write to"
            )
        self._folder, self._suffix, self._most = folder, suffix, budget_bytes
        # A number in the name gives the order: the clock may be that of 1970, and be set later.
        self._name = re.compile(rf"edgenet-(\d{{6,12}})-.*{re.escape(suffix)}")
        self._number = max([0, *(number for number, _, _ in self._own())])

    def write(self, event: Event, data: bytes) -> None:
        """Write a file for an event; remove the oldest ones first if the budget would be spent.

        Raises:
            EdgenetError: the data is larger than the whole budget, or cannot be written.
        """
        if len(data) > self._most:
            raise EdgenetError(
                f"{len(data) / 1e6:.1f} MB are more than the budget", "give a larger --pictures-size"
            )
        own = sorted(self._own())
        total = sum(size for _, size, _ in own)
        for _, size, path in own:
            if total + len(data) <= self._most:
                break
            with contextlib.suppress(OSError):
                path.unlink()
                total -= size
        self._number += 1
        try:
            write_atomically(self._folder / self._name_of(event), data)
        except EdgenetError as error:
            # Without the file's name, so that a full disk is one trouble and not one for each file.
            reason = getattr(error.__cause__, "strerror", None) or error.found
            raise EdgenetError(f"{self._folder} cannot be written: {reason}", error.remedy) from None

    def _own(self) -> list[tuple[int, int, Path]]:
        """Return the number, the size and the path of each file that is edgenet's own."""
        found = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                name = self._name.fullmatch(entry.name)
                if name and entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        found.append((int(name[1]), entry.stat().st_size, Path(entry.path)))
        return found

    def _name_of(self, event: Event) -> str:
        moment = re.sub(r"[-:]|\..*", "", str(event.entries["time"]))
        label = _NOT_IN_A_NAME.sub("_", str(event.entries["label"] or event.entries["kind"]))[:_LONGEST_LABEL]
        return f"edgenet-{self._number:06d}-{moment}-{label}{self._suffix}"
