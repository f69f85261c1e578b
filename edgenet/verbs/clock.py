"""Measures how much time each stage of a verb takes."""

from __future__ import annotations

import time


class Clock:
    """Wall time of each stage, in seconds; the first stage begins when the clock is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Add the time since the previous lap to this stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now
