"""Frames from a CSI camera through picamera2: one stream for people, and a smaller one for the network.

The image processor (ISP) makes both, so the smaller stream costs no CPU time. The rule of preprocess.py then
takes the centred square of the smaller picture, as it does for any other picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.frames import Frame, Note
from edgenet_device.frames.view import AUTO, View
from edgenet_device.streams import quiet_native_stderr

SIZE = (640, 480)
SILENCE_SECONDS = 5.0
"""A camera that delivers no frame for this many seconds counts as failed."""
_ALIGNED = 32
_CONVERSIONS = {"NV12": cv2.COLOR_YUV2BGR_NV12, "YUV420": cv2.COLOR_YUV2BGR_I420}


def csi_cameras() -> list[int]:
    """Return picamera2's numbers of all cameras that are not USB cameras.

    Raises:
        EdgenetError: picamera2 is missing or broken.
    """
    with quiet_native_stderr():
        infos = _picamera2().Picamera2.global_camera_info()
    return [info["Num"] for info in infos if "usb" not in info["Id"].lower()]


def small_size(network: int, size: tuple[int, int] = SIZE) -> tuple[int, int] | None:
    """Return (width, height) of the smaller stream beside one of a size; None if there is no suitable one.

    It has the same aspect ratio, no side shorter than the network's input, even sides, as its format requires, and a
    width that is a multiple of 32, which suits the alignment of rows in memory.
    """
    step, rest = divmod(_ALIGNED * size[1], size[0])
    if rest or step % 2:
        return None
    height = -(-network // step) * step
    width = height // step * _ALIGNED
    if width < network:  # the picture is upright
        width = -(-network // _ALIGNED) * _ALIGNED
        height = width // _ALIGNED * step
    return (width, height) if width <= size[0] else None


def open_csi(
    position: int,
    every: int = 1,
    network: int | None = None,
    view: View = View(),  # noqa: B008 (frozen)
    note: Note = lambda message: None,
) -> Iterator[Frame]:
    """Open the camera at a position among the CSI cameras and return its frames.

    Args:
        every: yield only every n-th frame.
        network: side of the network's input, pixels, for the smaller stream; None for no such stream.
        view: how the camera is set.
        note: called with a remark for every setting that the camera does not follow.

    Raises:
        EdgenetError: picamera2 is missing, there is no such camera, or it cannot be used.
    """
    library = _picamera2()
    numbers = csi_cameras()
    if position >= len(numbers):
        raise EdgenetError(
            f"there is no CSI camera {position} (picamera2 sees {len(numbers)})",
            "check its ribbon cable; rpicam-hello --list-cameras must list it",
        )
    try:
        with quiet_native_stderr():
            camera = library.Picamera2(numbers[position])
    except (RuntimeError, IndexError) as error:
        raise EdgenetError(
            f"CSI camera {position} cannot be opened ({_reason(error)})",
            "close the program that uses it, or join the group video (sudo usermod -aG video $USER)",
        ) from error
    name = f"csi:{position}"
    try:
        streams = _started(camera, name, view.size or SIZE, network)
        _set(camera, name, view, note)
    except EdgenetError:
        _close(camera)
        raise
    return _frames(camera, name, every, streams)


@dataclass(frozen=True)
class _Stream:
    """How one stream's bytes are laid out; `stride` is the bytes per row."""

    name: str
    form: str
    width: int
    height: int
    stride: int

    def bgr(self, request: Any) -> np.ndarray:
        """Return the stream's picture in a request as uint8 BGR [height, width, 3]; it is a copy."""
        data = request.make_buffer(self.name)
        # libcamera names a format by the order in a little-endian word, so the bytes of RGB888 are B, G, R.
        if self.form == "RGB888":
            rows = data[: self.height * self.stride].reshape(self.height, self.stride)
            return rows[:, : self.width * 3].reshape(self.height, self.width, 3)
        rows = data[: self.height * 3 // 2 * self.stride].reshape(-1, self.stride)
        return cv2.cvtColor(rows, _CONVERSIONS[self.form])[:, : self.width]


def _picamera2() -> Any:
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        with quiet_native_stderr():
            return import_module("picamera2")
    except Exception as error:  # it fails in many ways if numpy is not the version that the system ships
        raise EdgenetError(
            f"picamera2 cannot be imported ({_reason(error)})",
            "sudo apt install python3-picamera2, and use an environment made with --system-site-packages",
        ) from error


def _frames(camera: Any, name: str, every: int, streams: tuple[_Stream, _Stream | None]) -> Iterator[Frame]:
    main, small = streams
    count = 0
    try:
        while True:
            request = _next_request(camera, name, count)
            count += 1
            try:
                if (count - 1) % every:
                    continue
                frame = Frame(f"{name}#{count - 1}", main.bgr(request), small.bgr(request) if small else None)
            finally:
                request.release()
            yield frame
    finally:
        _close(camera)


def _close(camera: Any) -> None:
    """Stop the camera and release it."""
    with quiet_native_stderr():
        camera.close()


def _set(camera: Any, name: str, view: View, note: Note) -> None:
    """Set the started camera's rate, exposure and white balance as the view says."""
    wanted: dict[str, dict[str, Any]] = {}
    if view.fps is not None:
        wanted["--fps"] = {"FrameDurationLimits": (round(1e6 / view.fps),) * 2}
    if view.exposure is not None:
        by_hand = {} if view.exposure == AUTO else {"ExposureTime": round(float(view.exposure) * 1000)}
        wanted["--exposure"] = {"AeEnable": not by_hand, **by_hand}
    if view.white_balance is not None:
        by_hand = (
            {} if view.white_balance == AUTO else {"ColourTemperature": round(float(view.white_balance))}
        )
        wanted["--white-balance"] = {"AwbEnable": not by_hand, **by_hand}
    ignored = ["--format"] if view.pixel_format is not None else []
    for option, controls in wanted.items():
        if all(control in camera.camera_controls for control in controls):
            with quiet_native_stderr():
                camera.set_controls(controls)
        else:
            ignored.append(option)
    if ignored:
        note(f"{', '.join(ignored)}: the camera {name} or this version of libcamera has no such setting")


def _started(
    camera: Any, name: str, size: tuple[int, int], network: int | None
) -> tuple[_Stream, _Stream | None]:
    """Start the camera with two streams, or with one if it cannot make two."""
    one: dict[str, Any] = {"main": {"size": size, "format": "RGB888"}}
    small = small_size(network, size) if network else None
    two = {**one, "lores": {"size": small, "format": "YUV420"}} if small else None
    # The last resort, for cameras that are not behind a Raspberry Pi's ISP.
    plain = {"main": {"size": size, "format": "NV12"}, "raw": None}
    failure: Exception = RuntimeError("no mode")
    for mode in filter(None, (two, one, plain)):
        try:
            with quiet_native_stderr():
                camera.configure(camera.create_video_configuration(buffer_count=4, **mode))
                camera.start()
            return _stream(camera, "main"), _stream(camera, "lores") if "lores" in mode else None
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            failure = error
    raise EdgenetError(f"{name} has no usable mode ({_reason(failure)})", "make rpicam-hello work first")


def _stream(camera: Any, name: str) -> _Stream:
    given = camera.camera_config[name]
    if given["format"] != "RGB888" and given["format"] not in _CONVERSIONS:
        raise ValueError(f"the camera gives {given['format']}")
    width, height = given["size"]
    return _Stream(name, given["format"], width, height, given["stride"])


def _next_request(camera: Any, name: str, count: int) -> Any:
    try:
        return camera.capture_request(wait=False).get_result(timeout=SILENCE_SECONDS)
    except WaitedTooLong:
        raise EdgenetError(
            f"{name} gave no frame for {SILENCE_SECONDS:g} s after {count} frames", "check its ribbon cable"
        ) from None
    except RuntimeError as error:
        raise EdgenetError(
            f"{name} stopped after {count} frames ({_reason(error)})", "check its ribbon cable and the power"
        ) from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
