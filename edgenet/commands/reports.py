"""`edgenet report` shows latency reports on one page; `edgenet compare` tells whether one network is faster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json, shown_progress, warn
from edgenet.commands.options import (
    NOT_VALID,
    TARGETS,
    JsonFlag,
    RequireValid,
    TimingOptions,
    on_option,
    output_file,
)
from edgenet.text import format_or_unknown

if TYPE_CHECKING:
    from edgenet.workflows.reports import Comparison, Side

Results = Annotated[
    list[Path], typer.Argument(help="Reports of `edgenet bench`, or folders with such reports.")
]
Out = Annotated[
    Path,
    output_file(
        ".html",
        help="Path of the page to write. A CSV table and the figures as PNG go into the same folder.",
    ),
]
A = Annotated[
    Path,
    typer.Argument(
        help="First network: a latency report (.json), or a bundle or .tflite file to measure now."
    ),
]
B = Annotated[
    Path, typer.Argument(help="Second network, given in the same way: both as reports or both as models.")
]
On = Annotated[str, on_option(*TARGETS)]


def report_command(results: Results, out: Out = Path("report.html"), json_output: JsonFlag = False) -> None:
    """Show latency reports on one HTML page.

    The page shows the distributions, accuracy against latency, cold start and sustained load, and works offline.
    Measurements that are not valid are marked, with the reasons.
    """
    with shown_progress():
        from edgenet.workflows.reports import report

        result = report(results, out)
    if json_output:
        print_json(result)
        return
    for row in result.rows:
        valid = "" if row.valid else f"   not valid: {row.reasons}"
        p50, p99 = (format_or_unknown(ms, "{:.3f}") for ms in (row.p50_ms, row.p99_ms))
        typer.echo(f"{row.label}: p50 {p50} ms, p99 {p99} ms{valid}")
    for path in result.files:
        typer.echo(f"  {path}")


def compare_command(
    a: A,
    b: B,
    timing: TimingOptions,
    on: On = "local",
    require_valid: RequireValid = False,
    json_output: JsonFlag = False,
) -> None:
    """Tell whether one network is faster than another.

    The latencies come from two reports, or are measured now in turns. The command prints the difference of the
    medians with its 95 % confidence interval, and "no difference" if the interval contains zero.
    """
    if (a.suffix.lower() == ".json") is not (b.suffix.lower() == ".json"):
        raise typer.BadParameter(f"of {a} and {b} only one is a report; give two reports, or two models")
    options = timing.arguments()
    with shown_progress() as progress:
        from edgenet.workflows.reports import compare

        result = compare(a, b, on=on, progress=progress, **options)
    warn(result.warnings)
    print_json(result) if json_output else _print(result)
    if require_valid and not (result.a.valid and result.b.valid):
        raise typer.Exit(NOT_VALID)


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
    p50, p90 = (format_or_unknown(ms, "{:.4f}") for ms in (side.p50_ms, side.p90_ms))
    return f"{side.name}: p50 {p50} ms, p90 {p90} ms, {side.n} runs, {side.threads} thread(s), {side.device}"
