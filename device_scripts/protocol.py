"""The measuring protocols by name, with the least number of runs and the other minimums of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

REPEATS = 5


@dataclass(frozen=True)
class Protocol:
    """How to measure a model.

    Attributes:
        name: "quick" or "standard", or "custom" if a figure is below that of the named protocol.
        runs: least number of timed runs, all blocks together.
        min_seconds: least time of the timed runs in seconds, all blocks together.
        blocks: number of blocks that the runs are divided into; after each block the conditions are read and,
            if several models are measured, the next model has its turn.
        warmup: untimed warm-up runs before the first block; each later block has at most one.
        cold_starts: number of fresh processes to time.
        settle_s: longest wait, seconds, for the device to be cool and idle before anything is timed.
        sustained_s: seconds of sustained load after everything else, at least 60; 0 for none.
        profile: whether to time every operator, too.
    """

    name: str = "quick"
    runs: int = 50
    min_seconds: float = 1.0
    blocks: int = 10
    warmup: int = 1
    cold_starts: int = 3
    settle_s: float = 0.0
    sustained_s: float = 0.0
    profile: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the attributes as a dictionary, for the report."""
        return asdict(self)


QUICK = Protocol()
# MLPerf's single-stream scenario needs at least 1,024 queries and 60 s; source: LoadGen's rules, "Scenarios".
STANDARD = Protocol("standard", runs=1024, min_seconds=60.0, blocks=30, warmup=5, settle_s=120.0)
PROTOCOLS = {protocol.name: protocol for protocol in (QUICK, STANDARD)}
_NAMED = ("runs", "min_seconds", "warmup", "cold_starts")


def changed(protocol: Protocol, **figures: Any) -> Protocol:
    """Return the protocol with the figures that are not None replaced.

    It is named "custom" if a minimum (runs, min_seconds, warmup, cold_starts) is below the original one.
    """
    given = {name: value for name, value in figures.items() if value is not None}
    weaker = any(given.get(name, getattr(protocol, name)) < getattr(protocol, name) for name in _NAMED)
    return replace(protocol, **given, name="custom" if weaker else protocol.name)
