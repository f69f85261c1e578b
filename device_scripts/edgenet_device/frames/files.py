"""Reads frames one after another from a photo, a folder of photos, a video file, a camera or a stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from importlib import util
from pathlib import Path
from typing import Callable

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import say
from edgenet_device.frames import Frame, Note
from edgenet_device.frames.photos import (
    HEIC_SUFFIXES,
    MAX_PIXELS,
    PHOTO_SUFFIXES,
    list_photos,
    read_photo,
    starts_like_photo,
)
from edgenet_device.frames.usb import camera_frames, grab, open_camera, retrieve, usb_socket_link
from edgenet_device.frames.view import View
from edgenet_device.source_text import CAMERA, CSI, STREAM, shown_source
from edgenet_device.streams import quiet_native_stderr

STREAM_TIMEOUT_MS = 5000


def note_on_stderr(message: str) -> None:
    """Print a remark that is not an error on stderr."""
    say(f"note: {message}", sys.stderr)


def read_frames(
    source: str,
    every: int = 1,
    note: Note = note_on_stderr,
    network: int | None = None,
    view: View = View(),  # noqa: B008 (frozen)
) -> Iterator[Frame]:
    """Open a source and return its frames.

    Args:
        source: the path of a photo, of a folder of photos or of a video; /dev/videoN for a USB camera, csi or
            csi:1 for a Raspberry Pi's own camera, a number for either; or the URL of a stream (rtsp://,
            http://, ...).
        every: use every n-th photo or frame; those between are not decoded.
        note: called with remarks, such as which photos of a folder were skipped.
        network: side of the network's input, pixels, for cameras that can also deliver a smaller picture of
            every frame.
        view: how a camera is set, and how the pictures of any source are turned and cut.

    Returns:
        an iterator of frames; that of a camera or stream ends only with an error. A video or camera reuses
        its buffer, so a frame is valid only until the next one is requested. Close the iterator (or exhaust
        it) to release the device.

    Raises:
        EdgenetError: the source is missing or unreadable; raised by this call or while iterating.
    """
    if every < 1:
        raise EdgenetError(f"every {every}th frame requested", "give at least 1")
    return turned_frames(_source_frames(source, every, note, network, view), view)


def _source_frames(source: str, every: int, note: Note, network: int | None, view: View) -> Iterator[Frame]:
    """Open a source and return its frames as it gives them; see `read_frames`."""
    csi = _csi_position(source, note)
    if csi is not None:
        from edgenet_device.frames.csi import open_csi

        # A part of the smaller picture would have fewer pixels than the network takes.
        return open_csi(csi, every, network if view.region is None else None, view, note)
    camera = CAMERA.fullmatch(source)
    if camera:
        number = int(camera.group(2))
        return camera_frames(open_camera(number, view, note), number, every)
    if view.of_camera:
        note(
            f"{', '.join(view.of_camera)}: only a camera of this machine can be set so; {shown_source(source)} is none"
        )
    if STREAM.fullmatch(source):
        shown = shown_source(source)
        return _stream_frames(_open_stream(source, shown), shown, every)
    if "://" in source:
        raise EdgenetError(
            f"{shown_source(source)} is not the URL of a stream that can be opened",
            "give one that begins with rtsp://, http:// or another of the usual forms",
        )
    path = Path(source)
    # os.path, because pathlib raises for a name that is longer than names may be.
    if os.path.isdir(path):
        return _folder_frames(path, list_photos(path)[::every], note)
    if _is_photo(path):
        return iter([Frame(path.name, read_photo(path))])
    return _video_frames(_open_video(path), path, every, note)


def current_name(source: str) -> Callable[[], str]:
    """Return a function that gives the same camera's current name, even if its number changes later.

    Call this while the camera is still attached: it remembers the camera's USB socket.
    """
    camera = CAMERA.fullmatch(source)
    socket = usb_socket_link(int(camera.group(2))) if camera else None
    if socket is None:
        return lambda: source
    return lambda: os.path.realpath(socket) if socket.exists() else source


def _csi_position(source: str, note: Note) -> int | None:
    """Return the position of the CSI camera that the source names; None if it names no CSI camera.

    A plain number means a CSI camera if there is one at that position.
    """
    csi = CSI.fullmatch(source)
    if csi:
        return int(csi.group(1) or 0)
    if not source.isdecimal() or util.find_spec("picamera2") is None:
        return None
    from edgenet_device.frames.csi import (
        csi_cameras,  # imported late: picamera2 takes seconds to import on a Pi
    )

    try:
        return int(source) if int(source) < len(csi_cameras()) else None
    except EdgenetError as error:
        note(str(error))
        return None


def _is_photo(path: Path) -> bool:
    if path.suffix.lower() in PHOTO_SUFFIXES | HEIC_SUFFIXES:
        return True
    return starts_like_photo(_head(path)[:16])


def _head(path: Path) -> bytes:
    try:
        if os.path.exists(path) and not path.is_file():
            raise EdgenetError(f"{path} is not a regular file", "give a photo, a folder, a video or a camera")
        with path.open("rb") as file:
            return file.read(4096)
    except FileNotFoundError:
        raise EdgenetError(
            f"{shown_source(str(path))} does not exist",
            "give a photo, a folder of photos, a video, or a camera such as 0",
        ) from None
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


def _folder_frames(folder: Path, photos: list[Path], note: Note) -> Iterator[Frame]:
    """Yield the readable photos; at the end, report how many others were skipped, and why."""
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
    # FFmpeg plays any text file as a "video" of a terminal, so a file without a NUL byte is refused here.
    if not head or b"\0" not in head:
        what = "is empty (0 bytes)" if not head else "is neither a photo nor a video"
        raise EdgenetError(
            f"{path} {what}", "give a photo, a folder of photos, a video, or a camera such as 0"
        )
    with quiet_native_stderr():
        capture = cv2.VideoCapture(os.fspath(path))
    if not capture.isOpened():
        raise EdgenetError(
            f"{path} is not a video that OpenCV can open", "convert it to MP4 (H.264) or AVI (MJPEG)"
        )
    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        capture.release()
        raise EdgenetError(
            f"{path} has frames of {width}x{height} pixels, too many to decode", "make it smaller"
        )
    return capture


def _video_frames(capture: cv2.VideoCapture, path: Path, every: int, note: Note) -> Iterator[Frame]:
    stated = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    rate = capture.get(cv2.CAP_PROP_FPS)
    grabbed = yield from _decoded(capture, path.name, every, 1e9 / rate if 0 < rate < 1000 else None)
    if not grabbed:
        raise EdgenetError(
            f"no frame of {path} can be decoded: the video is damaged or its codec is unknown",
            "convert it to MP4 (H.264)",
        )
    if grabbed < stated:
        note(f"{path} states {stated} frames, {grabbed} could be read: the file may be truncated")


def _decoded(
    capture: cv2.VideoCapture, name: str, every: int, frame_ns: float | None = None
) -> Generator[Frame, None, int]:
    """Yield the frames of a video or stream until one cannot be read; return how many were read.

    `frame_ns` is the time between two frames of a film, nanoseconds; None for a stream and where the film does not say.
    """
    buffer: np.ndarray | None = None
    grabbed = 0
    try:
        while grab(capture):
            grabbed += 1
            if (grabbed - 1) % every == 0:
                buffer = retrieve(capture, buffer)
                if buffer is None:
                    break
                moment = None if frame_ns is None else round((grabbed - 1) * frame_ns)
                yield Frame(f"{name}#{grabbed - 1}", buffer, film_ns=moment)
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
        raise EdgenetError(f"no video comes from {shown}", "check the address and that the sender runs")
    return capture


def _stream_frames(capture: cv2.VideoCapture, shown: str, every: int) -> Iterator[Frame]:
    grabbed = yield from _decoded(capture, shown, every)
    raise EdgenetError(f"the stream {shown} stopped after {grabbed} frames", "check that the sender runs")


_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
_FLIPS = {"h": 1, "v": 0}


def turned_frames(frames: Iterator[Frame], view: View) -> Iterator[Frame]:
    """Return the frames with their pictures as the view says; the same iterator where it changes none."""
    if not view.rotate and view.flip is None and view.region is None:
        return frames
    return _turned(frames, view)


def _turned(frames: Iterator[Frame], view: View) -> Iterator[Frame]:
    try:
        for frame in frames:
            small = None if frame.small is None else turned(frame.small, view)
            yield frame._replace(pixels=turned(frame.pixels, view), small=small)
    finally:
        close = getattr(frames, "close", None)
        if close is not None:  # the iterator of a list has nothing to release
            close()


def turned(pixels: np.ndarray, view: View) -> np.ndarray:
    """Return a picture as the view says: turned, then mirrored, then cut.

    Args:
        pixels: uint8 [height, width, 3].
    """
    if view.rotate:
        pixels = cv2.rotate(pixels, _TURNS[view.rotate])
    if view.flip is not None:
        pixels = cv2.flip(pixels, _FLIPS[view.flip])
    return pixels if view.region is None else _cut(pixels, view.region)


def _cut(pixels: np.ndarray, region: tuple[float, float, float, float]) -> np.ndarray:
    """Return the region of a picture; it has at least one pixel."""
    height, width = pixels.shape[:2]
    left, right = _span(region[0], region[2], width)
    top, bottom = _span(region[1], region[3], height)
    return np.ascontiguousarray(pixels[top:bottom, left:right])


def _span(start: float, share: float, length: int) -> tuple[int, int]:
    first = min(round(start * length), length - 1)
    return first, max(first + 1, min(round((start + share) * length), length))
