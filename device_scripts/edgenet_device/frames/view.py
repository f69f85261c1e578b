"""How a camera is set, and how its picture is turned and cut: the values, and the options that set them."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, fields

from edgenet_device.errors import EdgenetError

ROTATIONS = (0, 90, 180, 270)
FLIPS = ("h", "v")
FORMATS = ("MJPG", "YUYV")
AUTO = "auto"
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})", re.IGNORECASE)
_LARGEST_SIDE = 16_384


@dataclass(frozen=True)
class View:
    """How a camera is set, and what is done to its picture before anything else sees it.

    The picture is first turned, then mirrored, then cut. A value of None leaves the choice to edgenet or the camera.

    Attributes:
        rotate: turn the picture clockwise by 0, 90, 180 or 270 degrees.
        flip: "h" swaps left and right, "v" swaps top and bottom.
        region: (x, y, width, height) of the part of the turned picture that is used, as shares of it, 0..1.
        size: (width, height) that the camera is asked for, pixels.
        fps: frames per second that the camera is asked for.
        pixel_format: "MJPG" or "YUYV", how a USB camera sends its pictures.
        exposure: exposure time in milliseconds, or "auto".
        white_balance: colour temperature in kelvin, or "auto".

    Raises:
        EdgenetError: a value is not one of those.
    """

    rotate: int = 0
    flip: str | None = None
    region: tuple[float, float, float, float] | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    pixel_format: str | None = None
    exposure: float | str | None = None
    white_balance: float | str | None = None

    def __post_init__(self) -> None:
        _require(self.rotate in ROTATIONS, "rotate", self.rotate, "give 0, 90, 180 or 270")
        _require(self.flip in (None, *FLIPS), "flip", self.flip, "give h or v")
        _require(self.pixel_format in (None, *FORMATS), "format", self.pixel_format, "give MJPG or YUYV")
        _require(self.fps is None or 0 < self.fps <= 1000, "fps", self.fps, "give 1 to 1000")
        for name, value, most in (
            ("exposure", self.exposure, 10_000),
            ("white balance", self.white_balance, 20_000),
        ):
            right = value in (None, AUTO) or (not isinstance(value, str) and 0 < value <= most)
            _require(right, name, value, f"give auto or a number up to {most}")
        if self.size is not None:
            right = all(0 < side <= _LARGEST_SIDE for side in self.size)
            _require(right, "size", self.size, "give WIDTHxHEIGHT, such as 1280x720")
        if self.region is not None:
            x, y, width, height = self.region
            right = x >= 0 and y >= 0 and width > 0 and height > 0 and max(x + width, y + height) <= 1 + 1e-9
            _require(
                right, "region", self.region, "give X,Y,W,H as shares of the picture, such as 0.25,0,0.5,1"
            )

    @property
    def of_camera(self) -> tuple[str, ...]:
        """The names of the options set here that only a camera can follow."""
        return tuple(name for name, field in _CAMERA_OPTIONS.items() if getattr(self, field) is not None)

    def arguments(self) -> list[str]:
        """Return the command-line arguments that set these values."""
        default = View()
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return [
            f"--{_OPTION_OF.get(name, name)}={_text(value)}"
            for name, value in given.items()
            if value != getattr(default, name)
        ]


_CAMERA_OPTIONS = {
    "--size": "size",
    "--fps": "fps",
    "--format": "pixel_format",
    "--exposure": "exposure",
    "--white-balance": "white_balance",
}
_OPTION_OF = {"pixel_format": "format", "white_balance": "white-balance"}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ("x" if len(value) == 2 else ",").join(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _require(right: bool, what: str, value: object, remedy: str) -> None:
    if not right:
        raise EdgenetError(f"the camera's {what} cannot be {value}", remedy)


def add_view_options(shape: argparse.ArgumentParser) -> None:
    """Add the options for a view to a command line; `view_of` returns what they say."""
    add = shape.add_argument_group("the camera and its picture").add_argument
    add(
        "--rotate",
        type=int,
        choices=ROTATIONS,
        default=0,
        help="turn the picture clockwise by so many degrees (default: 0)",
    )
    add("--flip", choices=FLIPS, help="swap left and right (h) or top and bottom (v)")
    add(
        "--region",
        metavar="X,Y,W,H",
        type=read_region,
        help="use only this part of the turned picture: left, top, width and height as shares of it, "
        "such as 0.25,0,0.5,1",
    )
    add(
        "--size",
        metavar="WxH",
        type=read_size,
        help="ask the camera for pictures of this size (default: 640x480)",
    )
    add("--fps", metavar="N", type=float, help="ask the camera for so many frames a second")
    add("--format", choices=FORMATS, type=str.upper, help="ask a USB camera for this format")
    add("--exposure", metavar="MS", type=read_setting, help="exposure time in milliseconds, or auto")
    add("--white-balance", metavar="K", type=read_setting, help="colour temperature in kelvin, or auto")


def view_of(shape: argparse.ArgumentParser, given: argparse.Namespace) -> View:
    """Return the view that the options ask for; a value out of its range is a usage error."""
    try:
        return View(
            given.rotate,
            given.flip,
            given.region,
            given.size,
            given.fps,
            given.format,
            given.exposure,
            given.white_balance,
        )
    except EdgenetError as error:
        shape.error(str(error))


def read_size(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as 1280x720; refuse another text."""
    sides = _SIZE.fullmatch(text)
    if sides is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT")
    return int(sides[1]), int(sides[2])


def read_region(text: str) -> tuple[float, float, float, float]:
    """Return the four numbers of a text such as 0.25,0,0.5,1; refuse another text."""
    try:
        x, y, width, height = map(float, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H") from None
    return x, y, width, height


def read_setting(text: str) -> float | str:
    """Return "auto" or the number that a text says; refuse another text."""
    try:
        return AUTO if text.lower() == AUTO else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto") from None
