"""What every source of pictures gives."""

from __future__ import annotations

from typing import Callable, NamedTuple

import numpy as np

Note = Callable[[str], None]
"""Takes a remark that is not an error."""


class Frame(NamedTuple):
    """One photo, or one frame of a video or camera; valid until the next one is asked for.

    Attributes:
        name: such as "clip.mp4#30".
        pixels: uint8 BGR [height, width, 3].
        small: the same picture made smaller by the camera's own hardware, uint8 BGR, for the network to look at;
            None where the source cannot do that.
    """

    name: str
    pixels: np.ndarray
    small: np.ndarray | None = None
