"""Statistics of latency samples.

Percentiles follow the nearest-rank rule: the p-th percentile of n samples is the ceil(p/100 * n)-th smallest one.
So every percentile printed is a latency that was really measured, never a value between two.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PERCENTILE_RULE = "nearest rank"


def percentile(samples: np.ndarray, p: float) -> float:
    """The p-th percentile (0 < p <= 100) of at least one sample, by the nearest-rank rule."""
    ordered = np.sort(samples)
    # The product is rounded first: 0.07 * 100 is 7.000000000000001, whose ceiling would be one rank too far.
    rank = math.ceil(round(p / 100 * ordered.size, 9))
    return float(ordered[max(rank, 1) - 1])


def summarize(samples_ns: np.ndarray) -> dict[str, Any]:
    """n, min, p50, p90, p99, max, mean and std of int64 nanoseconds, as milliseconds.

    std is the sample standard deviation (divisor n - 1), None for a single sample.
    """
    ms = samples_ns / 1e6
    return {
        "n": int(ms.size),
        "min_ms": float(ms.min()),
        "p50_ms": percentile(ms, 50),
        "p90_ms": percentile(ms, 90),
        "p99_ms": percentile(ms, 99),
        "max_ms": float(ms.max()),
        "mean_ms": float(ms.mean()),
        "std_ms": float(ms.std(ddof=1)) if ms.size > 1 else None,
    }


def group_medians_ms(samples_ns: np.ndarray, groups: int = 5) -> list[float]:
    """p50 (ms) of consecutive, equally long groups; they drift apart when the device heats up or is disturbed."""
    return [percentile(group, 50) / 1e6 for group in np.array_split(samples_ns, groups) if group.size]


def sustained(samples_ns: np.ndarray, window_s: float = 30.0) -> dict[str, float] | None:
    """p50 of the last 30 s over that of the first 30 s; None unless the samples cover both.

    Time is counted as the samples' own sum: the loop adds nothing else of weight.
    """
    ends = np.cumsum(samples_ns) / 1e9
    if ends.size == 0 or ends[-1] < 2 * window_s:
        return None
    first = percentile(samples_ns[ends <= window_s], 50) if (ends <= window_s).any() else float(samples_ns[0])
    last = percentile(samples_ns[ends > ends[-1] - window_s], 50)
    return {"first_p50_ms": first / 1e6, "last_p50_ms": last / 1e6, "ratio": last / first}
