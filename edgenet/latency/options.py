"""What a measurement is asked to do, and how the device's script is told so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from device_scripts.protocol import PROTOCOLS
from edgenet.devices.target import Adb, Target
from edgenet.errors import EdgenetError

SHORTEST_SUSTAINED_S = 60.0


@dataclass(frozen=True)
class BenchOptions:
    """How models are measured; see `device_scripts/measure_latency.py`.

    Attributes:
        protocol: "quick" or "standard".
        threads: numbers to try; where they are several each model gets its fastest.
        affinity: "all", "big" for all but the slowest cluster that cpufreq tells of, "auto" to try every one, or lists
            of CPUs, as "0-3/4-7"; None: on a phone "big", elsewhere "all".
        sustained_s: length of a sustained load at the end, at least 60; None for none.
        settle_s: longest wait, seconds, for a cool and calm device; None for the protocol's.
        profile: also time every operator.
        runs: least number of runs; None for the protocol's.
        min_seconds: least time of the runs; None for the protocol's.
        browser: in the browser of the phone that is the target.
        benchmark_model: TensorFlow Lite's program of this name, on this machine, which measures instead of our scripts.
    """

    protocol: str = "quick"
    threads: tuple[int, ...] = (1,)
    affinity: str | None = None
    sustained_s: float | None = None
    settle_s: float | None = None
    profile: bool = False
    runs: int | None = None
    min_seconds: float | None = None
    browser: bool = False
    benchmark_model: Path | None = None

    def check(self) -> None:
        """Refuses what the device would refuse, before anything goes there.

        Raises:
            EdgenetError: says which option, and what fits.
        """
        if self.protocol not in PROTOCOLS:
            raise EdgenetError(f"there is no protocol '{self.protocol}'", f"give {' or '.join(PROTOCOLS)}")
        if not self.threads or min(self.threads) < 1:
            raise EdgenetError(f"the numbers of threads are {list(self.threads)}", "give at least 1")
        if self.sustained_s is not None and self.sustained_s < SHORTEST_SUSTAINED_S:
            raise EdgenetError(
                f"a sustained load of {self.sustained_s:g} s is too short: its first and last 30 s are compared",
                "give at least 60",
            )
        if self.benchmark_model is not None:
            self._check_program()

    def settled(self, target: Target) -> BenchOptions:
        """The same, with what was left open as it is for this target."""
        usual = "big" if isinstance(target, Adb) and not self.browser else "all"
        return replace(self, affinity=self.affinity or usual)

    def arguments(self) -> tuple[str, ...]:
        """Of the script."""
        given = {
            "--protocol": self.protocol,
            "--threads": ",".join(map(str, self.threads)),
            "--affinity": self.affinity,
            "--sustained": self.sustained_s,
            "--settle": self.settle_s,
            "--runs": self.runs,
            "--min-seconds": self.min_seconds,
        }
        flags = ("--profile",) if self.profile else ()
        return flags + tuple(
            text for name, value in given.items() if value is not None for text in (name, str(value))
        )

    def _check_program(self) -> None:
        wanted = {
            "--browser": self.browser,
            "--sustained": self.sustained_s is not None,
            "--settle": self.settle_s is not None,
        }
        for name, given in wanted.items():
            if given:
                raise EdgenetError(f"benchmark_model cannot follow {name}", "leave out one of the two")
