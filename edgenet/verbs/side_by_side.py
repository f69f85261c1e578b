"""Times two networks in turns, so that other activity of the machine affects both equally."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP = 20


@dataclass(frozen=True)
class LatencyRatio:
    """Two networks timed in turns.

    Attributes:
        first_ms, second_ms: median over the blocks' median times, milliseconds.
        ratio: median of first / second over the pairs of blocks.
    """

    first_ms: float
    second_ms: float
    ratio: float


def latency_ratio(
    first: Callable[[], object], second: Callable[[], object], blocks: int = 20, runs: int = 20
) -> LatencyRatio:
    """Time two calls in alternating blocks, so that a slow phase of the machine affects both.

    Args:
        first, second: functions that run one inference each.
        blocks: number of pairs of blocks; the order within a pair alternates.
        runs: number of inferences per block.
    """
    calls = (first, second)
    for call in calls:
        for _ in range(WARM_UP):
            call()
    pairs = []
    for block in range(blocks):
        pair = {}
        for which in (0, 1) if block % 2 == 0 else (1, 0):
            pair[which] = statistics.median(_times_ms(calls[which], runs))
        pairs.append((pair[0], pair[1]))
    firsts, seconds = zip(*pairs, strict=True)
    ratio = statistics.median(one / other for one, other in pairs)
    return LatencyRatio(statistics.median(firsts), statistics.median(seconds), ratio)


def _times_ms(call: Callable[[], object], runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        begun = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begun) / 1e6)
    return times
