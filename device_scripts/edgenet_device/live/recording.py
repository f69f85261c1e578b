"""Records the labelled frames in an MP4 file, for as long as the disk has room."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any, Callable

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.frames.files import is_live
from edgenet_device.live.drawing import overlaid
from edgenet_device.output_files import check_output
from edgenet_device.streams import quiet_native_stderr

LIVE_RATE = 15.0
"""Frames per second in the recording of a live source, whose own rate changes with the light and the load."""
RESERVE_BYTES = 64 * 2**20
"""Recording stops when less disk space is left: the system and the file's end need some room, too."""
LOOK_SECONDS = 1.0
# The file is written in fragments, so that a power cut loses the last second and not the whole file
# (ISO/IEC 14496-12, movie fragments).
_IN_FRAGMENTS = "movflags;+frag_keyframe+empty_moov"


class Recording:
    """A growing MP4 file; use it as a context manager.

    Args:
        path: the file; an existing one is replaced.
        rate: frames per second of the file.
        live: whether frames come in real time: then each one is repeated for as long as it was the newest.
        note: called with the reason if the recording stops early.

    Attributes:
        trouble: why the recording stopped early; None while it goes on.

    Raises:
        EdgenetError: the path does not end in .mp4, or its folder cannot be written to.
    """

    def __init__(self, path: Path, rate: float, live: bool, note: Callable[[str], None]) -> None:
        if path.suffix.lower() != ".mp4":
            raise EdgenetError(f"{path} does not end in .mp4", "give the recording such a name")
        check_output(path)
        self.trouble: str | None = None
        self._path, self._rate, self._live, self._note = path, rate, live, note
        self._writer: cv2.VideoWriter | None = None
        self._began = self._looked = 0.0
        self._written = 0
        self._check_room()

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *reason: object) -> None:
        self._close()

    def show(self, state: dict[str, Any], pixels: np.ndarray | None) -> None:
        """Add a frame; trouble with the file stops the recording but raises no error."""
        if pixels is None or self.trouble is not None:
            return
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            self._check_room()
        if self.trouble is None:
            self._write(overlaid(pixels, state), now)

    def _write(self, picture: np.ndarray, now: float) -> None:
        if self._writer is None:
            self._writer, self._began = self._opened(picture), now
        due = int((now - self._began) * self._rate) + 1 if self._live else self._written + 1
        if self._writer is None:
            return
        with quiet_native_stderr():
            for _ in range(due - self._written):
                self._writer.write(picture)
        self._written = due

    def _opened(self, picture: np.ndarray) -> cv2.VideoWriter | None:
        size = picture.shape[1], picture.shape[0]
        os.environ.setdefault("OPENCV_FFMPEG_WRITER_OPTIONS", _IN_FRAGMENTS)
        with quiet_native_stderr():
            writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, size)
        if not writer.isOpened():
            self._stop(f"this OpenCV cannot write {self._path}")
            return None
        return writer

    def _check_room(self) -> None:
        try:
            free = shutil.disk_usage(self._path.parent).free
        except OSError as error:
            self._stop(f"{self._path.parent} cannot be read ({error.strerror})")
            return
        if free < RESERVE_BYTES:
            self._stop(f"the disk is almost full ({free / 1e6:.0f} MB left)")

    def _stop(self, why: str) -> None:
        self.trouble = f"recording stopped: {why}"
        self._note(self.trouble)
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            with quiet_native_stderr():
                self._writer.release()
            self._writer = None


def recording_rate(source: str) -> float:
    """Return the frames per second to record a source with: a video file's own rate, else LIVE_RATE."""
    if is_live(source) or os.path.isdir(source):
        return LIVE_RATE
    with quiet_native_stderr():
        capture = cv2.VideoCapture(source)
        rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
        capture.release()
    return rate if 1 <= rate <= 240 else LIVE_RATE
