"""Reads frames from a camera that the system shows as /dev/videoN, which is mostly a USB camera."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.foreign_text import printable
from edgenet_device.frames import Frame, Note
from edgenet_device.frames.view import View
from edgenet_device.streams import quiet_native_stderr

CAMERA_SIZE = (640, 480)
# FFmpeg's threads write about damaged films at any time, also after a frame was returned. OpenCV reads this variable
# when the first film is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
_BGR3 = cv2.VideoWriter.fourcc(*"BGR3")
_LINUX = sys.platform.startswith("linux")


def open_camera(number: int, view: View, note: Note) -> cv2.VideoCapture:
    """Open a camera and set it as the view says; its size is 640x480 by default, or the nearest that it offers.

    Args:
        note: called with a remark for every setting that the camera or its driver does not follow.

    Raises:
        EdgenetError: the camera is missing, may not be used, is in use, or cannot be opened; the message says
            which.
    """
    device = f"/dev/video{number}"
    if _LINUX:
        _check_node(device)
    with quiet_native_stderr():
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2 if _LINUX else cv2.CAP_ANY)
        ignored = _set(capture, view)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # so that a read gives the newest frame, not a queued one
    if not capture.isOpened():
        users = users_of(device)
        if users:
            raise EdgenetError(f"camera {number} is in use by {', '.join(users)}", "close that program first")
        raise EdgenetError(
            f"camera {number} cannot be opened", "close programs that may use it, or give another number"
        )
    for remark in ignored:
        note(f"camera {number} {remark}")
    return capture


def _set(capture: cv2.VideoCapture, view: View) -> list[str]:
    """Set an open camera as the view says; return what it does not follow, each as the end of a sentence."""
    # The format comes first, because it decides which sizes and rates there are.
    if view.pixel_format is not None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*view.pixel_format))
    wanted = view.size or CAMERA_SIZE
    capture.set(cv2.CAP_PROP_FRAME_WIDTH, wanted[0])
    capture.set(cv2.CAP_PROP_FRAME_HEIGHT, wanted[1])
    if view.fps is not None:
        capture.set(cv2.CAP_PROP_FPS, view.fps)
    ignored = []
    if view.pixel_format is not None and _fourcc(capture) != view.pixel_format:
        ignored.append(f"gives {_fourcc(capture) or 'another format'} instead of {view.pixel_format}")
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    if view.size is not None and size != view.size:
        ignored.append(f"gives {size[0]}x{size[1]} instead of {view.size[0]}x{view.size[1]}")
    rate = capture.get(cv2.CAP_PROP_FPS)
    if view.fps is not None and abs(rate - view.fps) > 0.01 * view.fps:
        ignored.append(f"gives {rate:g} frames a second instead of {view.fps:g}")
    return ignored + _set_light(capture, view)


@dataclass(frozen=True)
class _Control:
    """A property that the camera or its user sets; the numbers are those of OpenCV and V4L2.

    Attributes:
        name: what it is.
        automatic: the property that says who sets it.
        by_camera: the value of `automatic` for the camera.
        by_hand: the value of `automatic` for the user.
        value: the property itself.
        unit: how many of the driver's units make one of the user's.
    """

    name: str
    automatic: int
    by_camera: int
    by_hand: int
    value: int
    unit: int

    def set(self, capture: cv2.VideoCapture, wanted: float | str) -> bool:
        """Set the property to a number or to "auto"; return whether the driver takes it."""
        if isinstance(wanted, str):
            return capture.set(self.automatic, self.by_camera)
        capture.set(self.automatic, self.by_hand)  # not every driver has it; the value counts
        return capture.set(self.value, wanted * self.unit)


# V4L2_EXPOSURE_APERTURE_PRIORITY is what USB cameras have as their automatic; V4L2 counts in units of 100 µs.
_EXPOSURE = _Control("exposure", cv2.CAP_PROP_AUTO_EXPOSURE, 3, 1, cv2.CAP_PROP_EXPOSURE, 10)
_WHITE_BALANCE = _Control("white balance", cv2.CAP_PROP_AUTO_WB, 1, 0, cv2.CAP_PROP_WB_TEMPERATURE, 1)


def _set_light(capture: cv2.VideoCapture, view: View) -> list[str]:
    """Set exposure and white balance; return what the driver refuses, each as the end of a sentence."""
    return [
        f"does not let its {control.name} be set to {wanted}"
        for control, wanted in ((_EXPOSURE, view.exposure), (_WHITE_BALANCE, view.white_balance))
        if wanted is not None and not control.set(capture, wanted)
    ]


def _fourcc(capture: cv2.VideoCapture) -> str:
    """Return the camera's format as four letters, without those that cannot be printed."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    return printable(
        bytes(code >> shift & 0xFF for shift in (0, 8, 16, 24)).decode("ascii", "replace").strip("\0")
    )


def camera_frames(capture: cv2.VideoCapture, number: int, every: int) -> Iterator[Frame]:
    """Yield every n-th frame of a camera until it fails; release the camera at the end.

    Raises:
        EdgenetError: the camera stopped, or gave a frame that cannot be decoded.
    """
    buffer: np.ndarray | None = None
    grabbed = 0
    try:
        while True:
            if not grab(capture):
                raise EdgenetError(
                    f"camera {number} stopped after {grabbed} frames", "check its cable and power"
                )
            grabbed += 1
            if (grabbed - 1) % every == 0:
                buffer = retrieve(capture, buffer)
                if buffer is None:
                    raise EdgenetError(
                        f"camera {number} gave a frame that cannot be decoded", "try another mode"
                    )
                yield Frame(f"camera {number}#{grabbed - 1}", buffer)
    finally:
        capture.release()


def grab(capture: cv2.VideoCapture) -> bool:
    """Take the next frame without decoding it; return false if none comes."""
    with quiet_native_stderr():
        return bool(capture.grab())


def retrieve(capture: cv2.VideoCapture, buffer: np.ndarray | None) -> np.ndarray | None:
    """Decode the frame taken last, into `buffer` if that fits.

    Returns:
        uint8 BGR [height, width, 3]; None if the frame is damaged.
    """
    with quiet_native_stderr():
        decoded, pixels = capture.retrieve(buffer)
    return _as_bgr(pixels, capture) if decoded else None


def _as_bgr(pixels: np.ndarray | None, capture: cv2.VideoCapture) -> np.ndarray | None:
    """Return a frame as [height, width, 3], whatever shape OpenCV gave it; None if it is not a picture."""
    if pixels is None or pixels.ndim == 3:
        return pixels
    size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    if pixels.shape == size:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    # OpenCV 4.11 returns a camera's BGR3 frames as raw memory: one row of bytes.
    if capture.get(cv2.CAP_PROP_FOURCC) == _BGR3 and pixels.size == size[0] * size[1] * 3:
        return pixels.reshape(*size, 3)
    return None


def usb_socket_link(number: int, links: Path = Path("/dev/v4l/by-path")) -> Path | None:
    """Return the link named after the camera's USB socket; None if there is none.

    The link stays the same when the camera gets another number after it was unplugged.
    """
    for link in sorted(links.glob("*")) if links.is_dir() else ():
        if os.path.realpath(link) == f"/dev/video{number}":
            return link
    return None


def users_of(device: str, processes: Path = Path("/proc")) -> list[str]:
    """Return the other programs that hold a device open, as "name (process 12)"; only the user's own show."""
    found = []
    for folder in processes.glob("[0-9]*"):
        try:
            if any(os.readlink(link) == device for link in (folder / "fd").iterdir()):
                found.append(f"{(folder / 'comm').read_text().strip()} (process {folder.name})")
        except OSError:  # the process belongs to another user, or it has ended meanwhile
            continue
    return [user for user in found if not user.endswith(f"(process {os.getpid()})")]


def _check_node(device: str) -> None:
    if not os.path.exists(device):
        attached = ", ".join(sorted(glob.glob("/dev/video*"))) or "none"
        raise EdgenetError(
            f"there is no camera {device} (attached: {attached})", "plug it in or give another number"
        )
    if not os.access(device, os.R_OK | os.W_OK):
        raise EdgenetError(
            f"no permission to use {device}", "sudo usermod -aG video $USER, then log in again"
        )
