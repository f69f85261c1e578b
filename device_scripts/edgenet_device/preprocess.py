"""The one rule that turns a photo or camera frame into the network's input; host and device share it.

The rule is called `centre-square`:

1. Take the centred square of the frame: side = the shorter side, offsets floor((long - short) / 2).
2. If the side is at least 3 x size, halve the square for as long as its side is at least 2 x size, because
   bilinear interpolation reads only 2x2 pixels and would skip the others. Each new pixel is the rounded mean
   of 2x2 pixels, (a + b + c + d + 2) >> 2; the last row and column of an odd side are left out.
3. Resize to size x size with bilinear interpolation (cv2.INTER_LINEAR).
4. Convert to RGB, uint8, [1, size, size, 3].

Networks with a rectangular input are not supported: the square would have to be distorted.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgenet_device.errors import EdgenetError

RULE = "centre-square"
_HALVE_FROM = 3


class CentreSquare:
    """The rule for frames of one fixed shape; it owns its buffers, so no memory is allocated per frame.

    Args:
        frame_shape: (height, width) of the frames, each at least 1.
        size: side of the network's square input, pixels, at least 1.

    Raises:
        EdgenetError: a size is below 1.
    """

    def __init__(self, frame_shape: tuple[int, int], size: int) -> None:
        height, width = frame_shape
        side = min(height, width)
        if side < 1 or size < 1:
            raise EdgenetError(f"cannot turn a {width}x{height} frame into {size}x{size}", "check both sizes")
        self.frame_shape = (height, width)
        self.size = size
        top, left = (height - side) // 2, (width - side) // 2
        self._rows, self._columns = slice(top, top + side), slice(left, left + side)
        self._halves = [np.empty((half, half, 3), np.uint8) for half in _halved(side, size)]
        self._small = np.empty((size, size, 3), np.uint8)

    def write(self, bgr: np.ndarray, rgb: np.ndarray) -> None:
        """Preprocess one frame into `rgb`, for instance a view of the interpreter's input tensor.

        Args:
            bgr: uint8 BGR [height, width, 3] of the shape given at construction.
            rgb: uint8 [size, size, 3], contiguous; overwritten.

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
                f"the input tensor is {rgb.dtype} {list(rgb.shape)}", "use a uint8 [1, H, H, 3] network"
            )

    def _resized(self, picture: np.ndarray, into: np.ndarray) -> np.ndarray:
        """Do steps 1 to 3, which treat all channels alike."""
        square = picture[self._rows, self._columns]
        for half in self._halves:
            side = half.shape[0]
            # OpenCV's area averaging by exactly 2 computes this mean, and uses vector instructions.
            square = cv2.resize(
                square[: 2 * side, : 2 * side], (side, side), dst=half, interpolation=cv2.INTER_AREA
            )
        return cv2.resize(square, (self.size, self.size), dst=into, interpolation=cv2.INTER_LINEAR)


def _halved(side: int, size: int) -> list[int]:
    """Return the sides that a square of this side is halved to, one after another."""
    halves: list[int] = []
    if side >= _HALVE_FROM * size:
        while side >= 2 * size:
            side //= 2
            halves.append(side)
    return halves


def prepare(bgr: np.ndarray, size: int) -> np.ndarray:
    """Preprocess one photo.

    Args:
        bgr: uint8 [height, width, 3], as `read_photo` gives it.
        size: side of the network's square input, pixels.

    Returns:
        uint8 RGB [1, size, size, 3], bit-equal to what `CentreSquare.write` puts into the input tensor.

    Raises:
        EdgenetError: `bgr` is not uint8 with three channels.
    """
    if bgr.ndim != 3:
        raise EdgenetError(
            f"the photo has shape {list(bgr.shape)}, expected [height, width, 3]", "use read_photo"
        )
    rgb = np.empty((1, size, size, 3), np.uint8)
    CentreSquare(bgr.shape[:2], size).write(bgr, rgb[0])
    return rgb
