"""Times an interpreter: warm-up runs, then samples of Invoke alone, and their statistics.

Percentiles follow the nearest-rank rule: the p-th percentile of n samples is the ceil(p/100 * n)-th smallest
sample. So every printed percentile is a latency that was really measured, never a value between two measurements.
"""

from __future__ import annotations

import gc
import math
import time
from typing import Any, Callable

import numpy as np

PERCENTILE_RULE = "nearest rank"


def fill_input(interpreter: Any) -> None:
    """Fill every input with random numbers, the same ones on each call.

    The latency of int8 and float networks does not depend on their input values.
    """
    random = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        shape, kind = detail["shape"], np.dtype(detail["dtype"])
        if np.issubdtype(kind, np.integer):
            limits = np.iinfo(kind)
            values = random.integers(limits.min, limits.max, shape, kind, endpoint=True)
        else:
            values = random.uniform(-1, 1, shape).astype(kind)
        interpreter.set_tensor(detail["index"], values)


def sample(invoke: Callable[[], Any], runs: int, min_seconds: float, warmup: int) -> np.ndarray:
    """Time a call until there are `runs` samples and `min_seconds` have passed.

    Args:
        invoke: the call to time; nothing else is inside the timed span.
        runs: least number of samples, at least 1.
        min_seconds: least time to spend sampling.
        warmup: calls before the first sample.

    Returns:
        int64 [n], nanoseconds of each call, in order.
    """
    for _ in range(warmup):
        invoke()
    # Allocated now, so that the loop does not have to grow the array for the first samples.
    samples = np.zeros(max(runs, 1024), np.int64)
    clock, count = time.perf_counter_ns, 0
    collecting = gc.isenabled()
    gc.disable()
    try:
        deadline = clock() + int(min_seconds * 1e9)
        while count < runs or clock() < deadline:
            if count == samples.size:
                samples = np.concatenate([samples, np.zeros_like(samples)])
            start = clock()
            invoke()
            samples[count] = clock() - start
            count += 1
    finally:
        if collecting:
            gc.enable()
    return samples[:count]


def percentile(samples: np.ndarray, p: float) -> float:
    """Return the p-th percentile (0 < p <= 100) of at least one sample, by the nearest-rank rule."""
    ordered = np.sort(samples)
    # The product is rounded first: 0.07 * 100 is 7.000000000000001, whose ceiling would be one rank too far.
    rank = math.ceil(round(p / 100 * ordered.size, 9))
    return float(ordered[max(rank, 1) - 1])


def summarize(samples_ns: np.ndarray) -> dict[str, Any]:
    """Return n, min, p50, p90, p99, max, mean and std, in milliseconds, of samples in int64 nanoseconds.

    std is the sample standard deviation (divisor n - 1); it is None for a single sample.
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


def group_medians_ms(samples_ns: np.ndarray, groups: int = 5) -> tuple[float, ...]:
    """Return the p50 (ms) of consecutive groups of equal size.

    They drift apart when the device heats up or is disturbed.
    """
    return tuple(percentile(group, 50) / 1e6 for group in np.array_split(samples_ns, groups) if group.size)


def sustained(blocks: list[np.ndarray], ends_s: list[float], window_s: float = 30.0) -> dict[str, float]:
    """Return the p50 (ms) of the first and of the last `window_s` seconds, and their ratio, last over first.

    Args:
        blocks: nanoseconds of consecutive runs; a block lasts a second or so.
        ends_s: when each block ended, seconds after the start.
        window_s: length of the two windows. A block belongs to the first window if it ended within that
            window, and to the last one if it began within that window.
    """
    begins = [0.0, *ends_s[:-1]]
    early = [block for block, end in zip(blocks, ends_s) if end <= window_s] or blocks[:1]
    late = [block for block, begin in zip(blocks, begins) if begin >= ends_s[-1] - window_s] or blocks[-1:]
    first, last = (percentile(np.concatenate(part), 50) / 1e6 for part in (early, late))
    return {"first_p50_ms": first, "last_p50_ms": last, "ratio": last / first}
