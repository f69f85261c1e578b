"""The one rule that turns a photo or camera frame into the network's input; host and device share it.

For a square input the rule is called `centre-square`, for another one `centre-rectangle`; both are the same steps:

1. Take the largest centred rectangle of the frame that has the aspect ratio of the network's input: the centred square
   for a square input. Its sides and offsets are rounded down.
2. If both sides are at least 3 x the network's, halve the rectangle for as long as both are at least 2 x the network's,
   because bilinear interpolation reads only 2x2 pixels and would skip the others. Each new pixel is the rounded mean
   of 2x2 pixels, (a + b + c + d + 2) >> 2; the last row and column of an odd side are left out.
3. Resize to the network's height and width with bilinear interpolation (cv2.INTER_LINEAR).
4. Convert to RGB, uint8, [1, height, width, 3].

Other people's networks may take something else than these RGB bytes. `PixelEncoder` makes it of them:

5. For a grey network: the luma of the resized picture, 0.299 R + 0.587 G + 0.114 B (cv2.COLOR_RGB2GRAY).
6. Replace every byte by the network's value for it, from a table with 256 entries for each channel; see `pixel_table`.
"""

from __future__ import annotations

from typing import Union

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError
from edgenet_device.normalization import ASK_NORMALIZATION, PixelNormalization
from edgenet_device.ports import PicturePort

_HALVE_FROM = 3
Size = Union[int, tuple[int, int]]
"""The size of a network's picture, pixels: its side, or (height, width)."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Return (height, width) of a size."""
    return (size, size) if isinstance(size, int) else size


class CentreCrop:
    """The rule for frames of one fixed shape; it owns its buffers, so no memory is allocated per frame.

    Args:
        frame_shape: (height, width) of the frames, each at least 1.
        size: side of the network's square input, or its (height, width), pixels, each at least 1.

    Raises:
        EdgenetError: a size is below 1.
    """

    def __init__(self, frame_shape: tuple[int, int], size: Size) -> None:
        height, width = frame_shape
        self.size = height_and_width(size)
        if min(height, width, *self.size) < 1:
            raise EdgenetError(
                f"cannot turn a {width}x{height} frame into {self.size[1]}x{self.size[0]}", "check both sizes"
            )
        self.frame_shape = (height, width)
        rows, columns = _cropped(self.frame_shape, self.size)
        top, left = (height - rows) // 2, (width - columns) // 2
        self._rows, self._columns = slice(top, top + rows), slice(left, left + columns)
        self._halves = [np.empty((*half, 3), np.uint8) for half in _halved((rows, columns), self.size)]
        self._small = np.empty((*self.size, 3), np.uint8)

    def write(self, bgr: np.ndarray, rgb: np.ndarray) -> None:
        """Preprocess one frame into `rgb`, for instance a view of the interpreter's input tensor.

        Args:
            bgr: uint8 BGR [height, width, 3] of the shape given at construction.
            rgb: uint8 [*size, 3], contiguous; overwritten.

        Raises:
            EdgenetError: an array has another shape or type, or `rgb` is not contiguous.
        """
        self._check(bgr, rgb)
        cv2.cvtColor(self._resized(bgr, self._small), cv2.COLOR_BGR2RGB, dst=rgb)

    def write_rgb(self, picture: np.ndarray, rgb: np.ndarray) -> None:
        """Do the same as `write` for a picture that is uint8 RGB, to the same result."""
        self._check(picture, rgb)
        self._resized(picture, rgb)

    def _check(self, picture: np.ndarray, rgb: np.ndarray) -> None:
        if picture.dtype != np.uint8 or picture.shape != (*self.frame_shape, 3):
            raise EdgenetError(
                f"the frame is {picture.dtype} {list(picture.shape)}, expected uint8 {[*self.frame_shape, 3]}",
                "give frames of one size",
            )
        # OpenCV would silently write to a new array if the destination did not fit.
        if rgb.dtype != np.uint8 or rgb.shape != self._small.shape or not rgb.flags.c_contiguous:
            raise EdgenetError(
                f"the input tensor is {rgb.dtype} {list(rgb.shape)}", "use a uint8 [1, H, W, 3] network"
            )

    def _resized(self, picture: np.ndarray, into: np.ndarray) -> np.ndarray:
        """Do steps 1 to 3, which treat all channels alike."""
        part = picture[self._rows, self._columns]
        for half in self._halves:
            height, width = half.shape[:2]
            # OpenCV's area averaging by exactly 2 computes this mean, and uses vector instructions.
            part = cv2.resize(
                part[: 2 * height, : 2 * width], (width, height), dst=half, interpolation=cv2.INTER_AREA
            )
        return cv2.resize(part, self.size[::-1], dst=into, interpolation=cv2.INTER_LINEAR)


def _cropped(frame: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the largest rectangle within the frame that has the aspect ratio of `size`."""
    (height, width), (rows, columns) = frame, size
    if width * rows >= height * columns:
        return height, max(height * columns // rows, 1)
    return max(width * rows // columns, 1), width


def _halved(crop: tuple[int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the sizes that a rectangle of this size is halved to, one after another."""
    halves: list[tuple[int, int]] = []
    if all(side >= _HALVE_FROM * wanted for side, wanted in zip(crop, size)):
        while all(side >= 2 * wanted for side, wanted in zip(crop, size)):
            crop = (crop[0] // 2, crop[1] // 2)
            halves.append(crop)
    return halves


def prepare(bgr: np.ndarray, size: Size) -> np.ndarray:
    """Preprocess one photo.

    Args:
        bgr: uint8 [height, width, 3], as `read_photo` gives it.
        size: side of the network's square input, or its (height, width), pixels.

    Returns:
        uint8 RGB [1, height, width, 3], bit-equal to what `CentreCrop.write` puts into the input tensor.

    Raises:
        EdgenetError: `bgr` is not uint8 with three channels.
    """
    if bgr.ndim != 3:
        raise EdgenetError(
            f"the photo has shape {list(bgr.shape)}, expected [height, width, 3]", "use read_photo"
        )
    rgb = np.empty((1, *height_and_width(size), 3), np.uint8)
    CentreCrop(bgr.shape[:2], size).write(bgr, rgb[0])
    return rgb


class PixelEncoder:
    """Steps 5 and 6: turns prepared pictures, uint8 RGB, into what another maker's network takes.

    Args:
        picture: the network's input.
        table: the network's value for each of the 256 pixel values, [256, channels]; see `pixel_table`.
    """

    def __init__(self, picture: PicturePort, table: np.ndarray) -> None:
        self._grey = picture.channels == 1
        self._first = picture.channels_first
        self._tables = [np.ascontiguousarray(table[:, channel]) for channel in range(picture.channels)]

    def write(self, rgb: np.ndarray, tensor: np.ndarray) -> None:
        """Write a prepared picture, uint8 RGB [height, width, 3], into the input tensor, of any layout."""
        channels = [cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)] if self._grey else list(cv2.split(rgb))
        places = tensor.reshape(
            (len(channels), *rgb.shape[:2]) if self._first else (*rgb.shape[:2], len(channels))
        )
        for channel, (values, table) in enumerate(zip(channels, self._tables)):
            place = places[channel] if self._first else places[..., channel]
            place[...] = table[values]


def pixel_table(picture: PicturePort, normalization: PixelNormalization | None) -> np.ndarray | None:
    """Return the network's value for each pixel value, [256, channels] of the input's type.

    - A network that takes float32 gets (pixel - mean) / std.
    - A network that takes uint8 or int8 gets the pixel itself, which for int8 is moved by -128: the range of the type
      stands for 0 to 255. So the normalization is the one that the input's scale and zero point state:
      mean = zero point (+ 128 for int8), std = 1 / scale. Only a normalization that is given replaces it:
      (pixel - mean) / std, divided by the scale and rounded.

    Args:
        picture: the network's input.
        normalization: what the pixels go through; None if the user, the bundle and the metadata state none.

    Returns:
        None for a network that takes RGB bytes as they are.

    Raises:
        EdgenetError: a network takes float32 and there is no normalization, or it takes integers without a scale and
            there is one.
    """
    pixels = np.arange(256, dtype=np.float64)[:, None]
    if normalization is None:
        return _plain_table(picture)
    values = (pixels - np.array(normalization.mean)) / np.array(normalization.std)
    if picture.channels == 1 and values.shape[1] == 3:
        values = values.mean(axis=1, keepdims=True)
    values = np.repeat(values, picture.channels // values.shape[1], axis=1)
    port = picture.port
    if port.dtype == "float32":
        return values.astype(np.float32)
    if not port.scale:
        raise EdgenetError(
            f"the network takes {port.dtype} pixels as they are, without a scale",
            "leave out the normalization",
        )
    limits = np.iinfo(port.dtype)
    steps = np.rint(values / port.scale) + port.zero_point
    table = np.clip(steps, limits.min, limits.max).astype(port.dtype)
    return None if picture.takes_bytes and np.array_equal(table, np.repeat(pixels, 3, axis=1)) else table


def _plain_table(picture: PicturePort) -> np.ndarray | None:
    """Return the table of a network whose input says by itself what it takes."""
    if picture.port.dtype == "float32":
        raise EdgenetError(
            "the network takes float32 and does not say what its pixels went through in training",
            f"{ASK_NORMALIZATION}; `edgenet package` records it in a bundle",
        )
    if picture.takes_bytes:
        return None
    shift = 128 if picture.port.dtype == "int8" else 0
    table = np.arange(256) - shift
    return np.repeat(table[:, None], picture.channels, axis=1).astype(picture.port.dtype)
