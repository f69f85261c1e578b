"""Scores that do not flicker: an average over time, and the word for "nothing that I know"."""

from __future__ import annotations

import numpy as np


class Smoother:
    """An exponential average of scores whose memory is in seconds, so that it is the same at any frame rate.

    Args:
        half_life_s: a score from so long ago counts half; 0 for no memory.
    """

    def __init__(self, half_life_s: float) -> None:
        self.half_life_s = half_life_s
        self._average: np.ndarray | None = None
        self._time_ns = 0

    def update(self, scores: np.ndarray, time_ns: int) -> np.ndarray:
        """The average with these scores in it, float32 [classes]; valid until the next call.

        Args:
            scores: float32 [classes].
            time_ns: when their frame was captured.
        """
        if self._average is None or self.half_life_s == 0:
            self._average = scores.astype(np.float32)
        else:
            keep = 0.5 ** ((time_ns - self._time_ns) / 1e9 / self.half_life_s)
            self._average *= keep
            self._average += (1 - keep) * scores
        self._time_ns = time_ns
        return self._average
