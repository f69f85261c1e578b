"""Times an interpreter: warm-up runs, then samples of Invoke alone."""

from __future__ import annotations

import gc
import time
from typing import Any, Callable

import numpy as np


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
