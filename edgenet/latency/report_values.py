"""What a latency report says, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Accuracy:
    """Top-1 of the int8 network, percent, on `n` photos of `data`."""

    int8_top1: float
    n: int
    data: str


@dataclass(frozen=True)
class Point:
    """A second of a sustained load; None for what the device does not tell."""

    at_s: float
    p50_ms: float
    hottest_celsius: float | None
    highest_mhz: float | None


@dataclass(frozen=True)
class Sustained:
    """A sustained load: p50 of its first and last 30 s, their ratio, and its curve."""

    first_p50_ms: float
    last_p50_ms: float
    ratio: float
    curve: tuple[Point, ...]


@dataclass(frozen=True)
class ColdStart:
    """Medians over `n` fresh processes, milliseconds; None for what the route does not tell."""

    n: int
    import_ms: float | None
    load_ms: float
    first_inference_ms: float
    total_ms: float | None


@dataclass(frozen=True)
class Trial:
    """A setting that was tried."""

    threads: int
    cpus: str
    p50_ms: float
    best: bool


@dataclass(frozen=True, eq=False)
class LatencyReport:
    """What a report says, checked.

    Attributes:
        path: the file it came from.
        name: of the model, for people.
        target: as the user gave it; "" where it was measured by the device's script alone.
        device: its model, or its CPU, for people.
        started: when, ISO 8601.
        n: runs of the steady state.
        p50_ms, p90_ms, p99_ms: None where the route does not tell.
        blocks_ms: the samples, milliseconds, block by block in order; where the route tells only summaries
            (`has_samples` says no) each block's median alone, and nothing where not even that is told.
        facts: the device and what it ran with, for people, by name.
        profile: as `latency.profile` reads it; None without one.
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
        """All of `blocks_ms`, in order."""
        return np.concatenate(self.blocks_ms)
