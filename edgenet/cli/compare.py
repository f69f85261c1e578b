"""`edgenet compare`: tell whether one network is faster than another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress, warn
from edgenet.cli.option_groups import grouped
from edgenet.cli.timing_options import TimingOptions
from edgenet.text import figure

if TYPE_CHECKING:
    from edgenet.verbs.compare import Comparison, Side

A = Annotated[
    Path,
    typer.Argument(
        help="First network: a latency report (.json), or a bundle or .tflite file to measure now."
    ),
]
B = Annotated[
    Path, typer.Argument(help="Second network, given in the same way: both as reports or both as models.")
]
On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="TARGET",
        help="Where to measure the models: local, browser, ssh:USER@HOST[:PORT], adb or adb:SERIAL.",
    ),
]


@grouped
def command(
    a: A,
    b: B,
    timing: TimingOptions,
    on: On = "local",
    json_output: JsonFlag = False,
) -> None:
    """Tell whether one network is faster than another.

    The latencies come from two reports, or are measured now in turns. The command prints the difference of the
    medians with its 95 % confidence interval, and "no difference" if the interval contains zero.
    """
    options = timing.with_more()
    with shown_progress() as progress:
        from edgenet.verbs.compare import compare

        result = compare(a, b, on, options, progress)
    warn(result.warnings)
    print_json(result) if json_output else _print(result)


def _print(result: Comparison) -> None:
    for letter, side in (("a", result.a), ("b", result.b)):
        typer.echo(f"{letter}  {_side(side)}")
    found = result.difference
    gap, ratio = found.difference_ms, found.ratio
    typer.echo(f"b - a  {gap.value:+.4f} ms   (95 % interval {gap.low:+.4f} to {gap.high:+.4f})")
    typer.echo(f"b / a  {ratio.value:.4f}   (95 % interval {ratio.low:.4f} to {ratio.high:.4f})")
    subject = found.verdict if found.verdict in ("no difference", "cannot tell") else f"b is {found.verdict}"
    typer.echo(f"{subject}: {found.why}")


def _side(side: Side) -> str:
    p50, p90 = (figure(ms, "{:.4f}") for ms in (side.p50_ms, side.p90_ms))
    return f"{side.name}: p50 {p50} ms, p90 {p90} ms, {side.n} runs, {side.threads} thread(s), {side.device}"
