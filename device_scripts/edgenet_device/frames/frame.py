"""The frame: what every source of pictures yields."""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

Note = Callable[[str], None]
"""A function that receives remarks that are not errors."""


class Frame(NamedTuple):
    """One photo, or one frame of a video or camera; its pixels are valid until the next frame is requested.

    Attributes:
        name: what to call the frame, such as "clip.mp4#30".
        pixels: uint8 BGR [height, width, 3].
        small: the same picture, scaled down by the camera's own hardware, as input for the network, uint8 BGR
            [height, width, 3]; None where the source cannot do that.
    """

    name: str
    pixels: np.ndarray
    small: np.ndarray | None = None
