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

import itertools

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
            bgr: uint8 [height, width, 3] of the shape given at construction.
            rgb: uint8 [size, size, 3], contiguous; overwritten.

        Raises:
            EdgenetError: an array has another shape or type, or `rgb` is not contiguous.
        """
        if bgr.dtype != np.uint8 or bgr.shape != (*self.frame_shape, 3):
            raise EdgenetError(
                f"the frame is {bgr.dtype} {list(bgr.shape)}, expected uint8 {[*self.frame_shape, 3]}",
                "give BGR frames of one size",
            )
        # OpenCV would silently write to a new array if the destination did not fit.
        if rgb.dtype != np.uint8 or rgb.shape != self._small.shape or not rgb.flags.c_contiguous:
            raise EdgenetError(
                f"the input tensor is {rgb.dtype} {list(rgb.shape)}", "use a uint8 [1, H, H, 3] network"
            )
        square = bgr[self._rows, self._columns]
        for half in self._halves:
            side = half.shape[0]
            # OpenCV's area averaging by exactly 2 computes this mean, and uses vector instructions.
            square = cv2.resize(
                square[: 2 * side, : 2 * side], (side, side), dst=half, interpolation=cv2.INTER_AREA
            )
        small = cv2.resize(square, (self.size, self.size), dst=self._small, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=rgb)


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


# ==== device_scripts.topk
# Finds the k best classes, by the project's rule for ties: of equal scores, the lower index comes first.


def top_k(scores: np.ndarray, k: int) -> list[tuple[int, float]]:
    """Return the k highest scores with their classes.

    About 1.4 % of photos tie on the best int8 logit, so the order of equal scores must be fixed, not left to
    a sort.

    Args:
        scores: [classes], any real type; NaN ranks last.
        k: how many; all classes if there are fewer.

    Returns:
        (class index, score) from best to worst; equal scores by rising class index.
    """
    left = np.where(np.isnan(scores), -np.inf, scores)
    best: list[int] = []
    # argmax returns the first of equal scores; for a small k, a few argmax calls are faster than a sort.
    while len(best) < min(k, left.size):
        index = int(left.argmax())
        if left[index] == -np.inf:  # only NaN and -inf remain: they rank last, by rising index
            rest = (other for other in range(left.size) if other not in best)
            best.extend(itertools.islice(rest, min(k, left.size) - len(best)))
            break
        best.append(index)
        left[index] = -np.inf
    return [(index, float(scores[index])) for index in best]
