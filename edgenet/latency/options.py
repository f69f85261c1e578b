"""The options of a measurement, and the device script's arguments made from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from edgenet_device.latency.report import PROTOCOLS

from edgenet.devices.device import Adb, Target
from edgenet.errors import EdgenetError

SHORTEST_SUSTAINED_S = 60.0


@dataclass(frozen=True)
class BenchOptions:
    """How models are measured; see `device_scripts/measure_latency.py`.

    Attributes:
        protocol: "quick" or "standard".
        threads: thread counts to try; if there are several, each model is measured with its fastest.
        affinity: the CPUs to use: "all"; "big" for all except the slowest cluster that cpufreq lists; "auto"
            to try every cluster; or lists of CPUs, such as "0-3/4-7". None means "big" on a phone and "all"
            elsewhere.
        sustained_s: length of a sustained load at the end, seconds, at least 60; None for no sustained load.
        settle_s: longest wait for a cool and idle device, seconds; None for the protocol's.
        profile: whether to time every operator too.
        runs: least number of runs; None for the protocol's.
        min_seconds: least total time of the runs, seconds; None for the protocol's.
        browser: whether to measure in the browser of the target phone.
        benchmark_model: path on this machine of TensorFlow Lite's program of this name, which then measures
            instead of our scripts.
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
        """Check the options before anything is copied to the device, which would refuse the same values.

        Raises:
            EdgenetError: an option is invalid; the message says which, and what is allowed.
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

    def for_target(self, target: Target) -> BenchOptions:
        """Return a copy with an unset affinity filled in for this target."""
        usual = "big" if isinstance(target, Adb) and not self.browser else "all"
        return replace(self, affinity=self.affinity or usual)

    def arguments(self) -> tuple[str, ...]:
        """Return the arguments for the device script `measure_latency`."""
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
        options = {
            "--browser": self.browser,
            "--sustained": self.sustained_s is not None,
            "--settle": self.settle_s is not None,
        }
        for name, given in options.items():
            if given:
                raise EdgenetError(f"benchmark_model cannot be used with {name}", "leave out one of the two")
