"""The options that `edgenet bench` and `edgenet compare` share, for how a model is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.cli.numbers import numbers

if TYPE_CHECKING:
    from edgenet.latency.options import BenchOptions

ProtocolName = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="Protocol: quick (at least 50 runs and 1 s), or standard (at least 1,024 runs and 60 s, as MLPerf).",
    ),
]
Threads = Annotated[
    str,
    typer.Option(
        "--threads", metavar="N,N,...", help="Thread counts to try; each model is measured with its fastest."
    ),
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        show_default="all; big on a phone",
        help="CPUs to run on: all, big (all except the slowest cluster), auto (try every cluster), or lists such as "
        "0-3/4-7 to try.",
    ),
]
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        show_default="0; 120 with --protocol standard",
        help="Longest wait for the device to be cool and idle before the measurement.",
    ),
]


@dataclass(frozen=True)
class TimingOptions:
    """How long, on how many threads and which CPUs, and after what wait a model is timed."""

    protocol: ProtocolName = "quick"
    threads: Threads = "1"
    affinity: Affinity = None
    settle: Settle = None

    def with_more(self, **more: Any) -> BenchOptions:
        """Return the options as `edgenet.bench` and `edgenet.compare` take them.

        Args:
            more: further fields of `BenchOptions`.

        Raises:
            typer.BadParameter: --threads is not a list of integers.
        """
        counts = numbers(self.threads, int, "--threads")
        from edgenet.latency.options import BenchOptions

        return BenchOptions(self.protocol, counts, self.affinity, settle_s=self.settle, **more)
