"""Smooths scores over time, so that the shown labels do not flicker."""

from __future__ import annotations

import numpy as np


class Smoother:
    """An exponential moving average of scores, with a half-life in seconds so that any frame rate will do.

    Args:
        half_life_s: seconds after which a score's weight has halved; 0 for no smoothing.
    """

    def __init__(self, half_life_s: float) -> None:
        self.half_life_s = half_life_s
        self._average: np.ndarray | None = None
        self._time_ns = 0

    def update(self, scores: np.ndarray, time_ns: int) -> np.ndarray:
        """Add a frame's scores and return the new average, float32 [classes], valid until the next call.

        Args:
            scores: float32 [classes].
            time_ns: when the frame was captured, nanoseconds.
        """
        if self._average is None or self.half_life_s == 0:
            self._average = scores.astype(np.float32)
        else:
            keep = 0.5 ** ((time_ns - self._time_ns) / 1e9 / self.half_life_s)
            self._average *= keep
            self._average += (1 - keep) * scores
        self._time_ns = time_ns
        return self._average
