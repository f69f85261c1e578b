"""Frames from a photo, a folder, a video file or a camera, one after another."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from importlib import util
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit, urlunsplit

import cv2
import numpy as np

from .errors import EdgenetError
from .frame import Frame, Note
from .photos import PHOTO_SUFFIXES, list_photos, read_photo, starts_like_photo
from .quiet import quiet_native_stderr
from .v4l2_frames import camera_frames, grab, lasting_number, open_camera, retrieve

_CAMERA = re.compile(r"(/dev/video)?(\d+)")
_CSI = re.compile(r"csi(?::(\d+))?")
_STREAM = re.compile(r"(?:rtsps?|https?|udp|rtmp|tcp)://.+", re.IGNORECASE)
STREAM_TIMEOUT_MS = 5000


def note_on_stderr(message: str) -> None:
    """Print a remark that is not an error."""
    print(f"note: {message}", file=sys.stderr, flush=True)


def read_frames(
    source: str, every: int = 1, note: Note = note_on_stderr, network: int | None = None
) -> Iterator[Frame]:
    """Open a source.

    Args:
        source: path of a photo, of a folder of photos or of a video; /dev/videoN for a USB camera, csi or csi:1
            for a Raspberry Pi's own, a number for either; the URL of a stream (rtsp://, http://, ...).
        every: use every n-th photo or frame; those between are not decoded.
        note: called with remarks, such as which photos of a folder were skipped.
        network: side of the network's input, pixels, for cameras that can make a smaller picture of every frame too.

    Returns:
        an iterator of frames; a camera's or stream's never ends. A video or camera reuses
        its buffer: a frame is valid until the next one is asked for. Close it (or exhaust it) to release the device.

    Raises:
        EdgenetError: a missing or unreadable source, at the call or while iterating.
    """
    if every < 1:
        raise EdgenetError(f"every {every}th frame asked for", "give at least 1")
    csi = _csi_position(source, note)
    if csi is not None:
        from .csi_frames import open_csi

        return open_csi(csi, every, network)
    camera = _CAMERA.fullmatch(source)
    if camera:
        number = int(camera.group(2))
        return camera_frames(open_camera(number), number, every)
    if _STREAM.fullmatch(source):
        shown = without_password(source)
        return _stream_frames(_open_stream(source, shown), shown, every)
    path = Path(source)
    if path.is_dir():
        return _folder_frames(path, list_photos(path)[::every], note)
    if _is_photo(path):
        return iter([Frame(path.name, read_photo(path))])
    return _video_frames(_open_video(path), path, every, note)


def is_live(source: str) -> bool:
    """Whether frames come by themselves, as a camera's and a stream's do, and are lost when nobody takes them."""
    return any(kind.fullmatch(source) for kind in (_CAMERA, _CSI, _STREAM))


def found_again(source: str) -> Callable[[], str]:
    """What names the same camera later, when its number may be another one; asked before it was lost."""
    camera = _CAMERA.fullmatch(source)
    socket = lasting_number(int(camera.group(2))) if camera else None
    if socket is None:
        return lambda: source
    return lambda: os.path.realpath(socket) if socket.exists() else source


def _csi_position(source: str, note: Note) -> int | None:
    """Which of the CSI cameras is meant, if one is: a mere number means one of these where there are any."""
    csi = _CSI.fullmatch(source)
    if csi:
        return int(csi.group(1) or 0)
    if not source.isdecimal() or util.find_spec("picamera2") is None:
        return None
    from .csi_frames import csi_cameras  # late: importing picamera2 takes seconds on a Pi

    try:
        return int(source) if int(source) < len(csi_cameras()) else None
    except EdgenetError as error:
        note(str(error))
        return None


def without_password(url: str) -> str:
    """A URL as it may be shown: without its user's name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _is_photo(path: Path) -> bool:
    if path.suffix.lower() in PHOTO_SUFFIXES:
        return True
    return starts_like_photo(_head(path)[:16])


def _head(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise EdgenetError(f"{path} is not a regular file", "give a photo, a folder, a video or a camera")
        with path.open("rb") as file:
            return file.read(4096)
    except FileNotFoundError:
        raise EdgenetError(
            f"{path} does not exist", "give a photo, a folder of photos, a video, or a camera such as 0"
        ) from None
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


def _folder_frames(folder: Path, photos: list[Path], note: Note) -> Iterator[Frame]:
    """The readable photos; the others are counted and named at the end."""
    skipped: list[str] = []
    try:
        for path in photos:
            try:
                pixels = read_photo(path, str(path.relative_to(folder)))
            except EdgenetError as error:
                skipped.append(error.found)
                continue
            yield Frame(path.relative_to(folder).as_posix(), pixels)
    finally:
        if skipped:
            note(f"skipped {len(skipped)} of {len(photos)} photos in {folder}: {' | '.join(skipped)}")
    if len(skipped) == len(photos):
        raise EdgenetError(f"none of the {len(photos)} photos in {folder} can be read", "see the note above")


def _open_video(path: Path) -> cv2.VideoCapture:
    head = _head(path)
    # FFmpeg plays any text as a "video" of a terminal, and an empty file has nothing to play.
    if not head or b"\0" not in head:
        what = "is empty (0 bytes)" if not head else "is neither a photo nor a video"
        raise EdgenetError(
            f"{path} {what}", "give a photo, a folder of photos, a video, or a camera such as 0"
        )
    with quiet_native_stderr():
        capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise EdgenetError(
            f"{path} is no video that OpenCV can open", "convert it to MP4 (H.264) or AVI (MJPEG)"
        )
    return capture


def _video_frames(capture: cv2.VideoCapture, path: Path, every: int, note: Note) -> Iterator[Frame]:
    stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    grabbed = yield from _decoded(capture, path.name, every)
    if not grabbed:
        raise EdgenetError(
            f"no frame of {path} can be decoded", "the video is damaged or its codec is unknown"
        )
    if grabbed < stated:
        note(f"{path} states {stated} frames, {grabbed} could be read: it may be truncated")


def _decoded(capture: cv2.VideoCapture, name: str, every: int) -> Generator[Frame, None, int]:
    """The frames of a video or stream until one cannot be read; returns how many were there."""
    buffer: np.ndarray | None = None
    grabbed = 0
    try:
        while grab(capture):
            grabbed += 1
            if (grabbed - 1) % every == 0:
                buffer = retrieve(capture, buffer)
                if buffer is None:
                    break
                yield Frame(f"{name}#{grabbed - 1}", buffer)
    finally:
        capture.release()
    return grabbed


def _open_stream(url: str, shown: str) -> cv2.VideoCapture:
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        STREAM_TIMEOUT_MS,
    ]
    with quiet_native_stderr():
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, limits)
    if not capture.isOpened():
        raise EdgenetError(f"no video comes from {shown}", "check the address, and that the sender runs")
    return capture


def _stream_frames(capture: cv2.VideoCapture, shown: str, every: int) -> Iterator[Frame]:
    grabbed = yield from _decoded(capture, shown, every)
    raise EdgenetError(f"the stream {shown} stopped after {grabbed} frames", "check that the sender runs")
