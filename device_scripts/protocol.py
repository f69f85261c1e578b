"""How a model is measured: the protocols by name, and what each asks for at least."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

REPEATS = 5


@dataclass(frozen=True)
class Protocol:
    """How to measure.

    Attributes:
        name: "quick", "standard", or "custom" once a figure of these was changed.
        runs: least number of timed runs, all blocks together.
        min_seconds: least time of the timed runs, all blocks together.
        blocks: the runs are divided into as many; between two blocks the conditions are looked at and, where several
            models are measured, the next model has its turn.
        warmup: runs before the first block that are not timed; each later block begins with one.
        cold_starts: fresh processes to time.
        settle_s: longest wait, seconds, for the device to be cool and calm before anything is timed.
        profile: also time every operator.
        sustained_s: length of the sustained load after the rest, 60 s at least; 0 for none.
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
        """For the report."""
        return asdict(self)


QUICK = Protocol()
# MLPerf's single stream: 1,024 queries and 60 s at least; LoadGen's rules, "Scenarios".
STANDARD = Protocol("standard", runs=1024, min_seconds=60.0, blocks=30, warmup=5, settle_s=120.0)
PROTOCOLS = {protocol.name: protocol for protocol in (QUICK, STANDARD)}
_NAMED = ("runs", "min_seconds", "warmup", "cold_starts")


def changed(protocol: Protocol, **figures: Any) -> Protocol:
    """The protocol with those figures that are not None; "custom" where it asks for less than its name does."""
    given = {name: value for name, value in figures.items() if value is not None}
    weaker = any(given.get(name, getattr(protocol, name)) < getattr(protocol, name) for name in _NAMED)
    return replace(protocol, **given, name="custom" if weaker else protocol.name)
