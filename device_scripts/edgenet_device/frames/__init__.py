"""Frames: photos, folders, videos, USB and CSI cameras, streams; all of them yield the `Frame` defined here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple

if TYPE_CHECKING:
    import numpy as np

Note = Callable[[str], None]
"""A function that receives remarks that are not errors."""


class Frame(NamedTuple):
    """One photo, or one frame of a video, camera or stream; its pixels are valid until the next frame is taken.

    Attributes:
        name: what to call the frame, such as "clip.mp4#30".
        pixels: uint8 **BGR** [height, width, 3], the order of OpenCV; copy them to keep them.
        small: the same picture, scaled down by the camera's own hardware, as input for the network, uint8 BGR
            [height, width, 3]; None where the source cannot do that.
        captured_ns: when the source delivered the frame, by `time.perf_counter_ns`; 0 while it is unknown.
        missed: number of frames that came after the previously taken one and were never taken.
        film_ns: when the frame is shown in its film, nanoseconds from the beginning; None for cameras and streams. A
            film is classified as fast as the machine can, so its own time says how long something was in the picture.
    """

    name: str
    pixels: np.ndarray
    small: np.ndarray | None = None
    captured_ns: int = 0
    missed: int = 0
    film_ns: int | None = None

    @property
    def moment_ns(self) -> int:
        """The time of what the picture shows: in a film its own, else that of the capture, nanoseconds."""
        return self.captured_ns if self.film_ns is None else self.film_ns

    @property
    def for_network(self) -> np.ndarray:
        """The picture to classify, uint8 BGR [height, width, 3]: `small` where there is one, else `pixels`."""
        return self.pixels if self.small is None else self.small
