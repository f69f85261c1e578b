"""The values in a latency report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """Top-1 accuracy of the int8 network, percent, on `n` photos of the data set `data`."""

    int8_top1: float
    n: int
    data: str


@dataclass(frozen=True)
class Point:
    """One point in time of a sustained load; None for values that the device does not report."""

    at_s: float
    p50_ms: float
    hottest_celsius: float | None
    highest_mhz: float | None


@dataclass(frozen=True)
class Sustained:
    """A sustained load: p50 of its first and last 30 s, the ratio last / first, and its curve over time."""

    first_p50_ms: float
    last_p50_ms: float
    ratio: float
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class ColdStart:
    """Medians over `n` fresh processes, milliseconds; None for values that were not measured."""

    n: int
    import_ms: float | None
    load_ms: float
    first_inference_ms: float
    total_ms: float | None


@dataclass(frozen=True)
class Trial:
    """A setting of threads and CPUs that was tried, its median latency, and whether it was chosen."""

    threads: int
    cpus: str
    p50_ms: float
    best: bool


@dataclass(frozen=True, eq=False)
class LatencyReport:
    """A report whose fields have been checked.

    Attributes:
        path: the file it was read from.
        name: the model's readable name.
        target: as the user gave it; "" if the device script was run directly.
        device: the device's model, or else its CPU.
        started: when the measurement started, ISO 8601.
        n: number of steady-state runs.
        p50_ms, p90_ms, p99_ms: percentiles, milliseconds; None if the program that measured does not report
            them.
        blocks_ms: the samples, milliseconds, block by block in order. If `has_samples` is false, each block
            holds only its median, and there are no blocks if even the medians are unknown.
        has_samples: whether the report holds every sample.
        facts: readable facts about the device and the measurement, by name.
        profile: the profile as `latency.profile` reads it; None if operators were not timed.
        valid: whether the latency may be quoted.
        reasons: why it may not be quoted.
    """

    path: str
    name: str
    sha256: str
    size_bytes: int
    target: str
    device: str
    started: str
    protocol: str
    threads: int
    n: int
    min_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float
    blocks_ms: tuple[NDArray[np.float64], ...]
    has_samples: bool
    cold_start: ColdStart
    sustained: Sustained | None
    peak_memory_bytes: int | None
    accuracy: Accuracy | None
    tried: tuple[Trial, ...]
    facts: dict[str, str]
    profile: dict[str, Any] | None
    valid: bool
    reasons: tuple[str, ...]

    @property
    def samples_ms(self) -> NDArray[np.float64]:
        """All values of `blocks_ms`, in order."""
        return np.concatenate(self.blocks_ms)
