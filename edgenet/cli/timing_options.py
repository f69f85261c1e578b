"""The options that `edgenet bench` and `edgenet compare` share: how a model is timed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.cli.numbers import numbers

if TYPE_CHECKING:
    from edgenet.latency.options import BenchOptions

ProtocolName = Annotated[
    str,
    typer.Option("--protocol", help="quick: 50 runs and 1 s at least; standard: 1,024 and 60 s, as MLPerf."),
]
Threads = Annotated[
    str, typer.Option("--threads", metavar="N,N,...", help="Numbers to try; each model gets its fastest.")
]
Affinity = Annotated[
    str | None,
    typer.Option(
        "--affinity",
        metavar="CPUS",
        show_default="all, on a phone big",
        help="all; big: not the slow ones; auto tries every cluster; or lists, as 0-3/4-7.",
    ),
]
Settle = Annotated[
    float | None,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0,
        show_default="0, standard: 120",
        help="Longest wait for a cool and calm device.",
    ),
]


@dataclass(frozen=True)
class TimingOptions:
    """How long, on what, and how calm."""

    protocol: ProtocolName = "quick"
    threads: Threads = "1"
    affinity: Affinity = None
    settle: Settle = None

    def with_more(self, **more: Any) -> BenchOptions:
        """As the verbs take them, with what else was asked for.

        Raises:
            typer.BadParameter: no numbers of threads.
        """
        counts = numbers(self.threads, int, "--threads")
        from edgenet.latency.options import BenchOptions

        return BenchOptions(self.protocol, counts, self.affinity, settle_s=self.settle, **more)
