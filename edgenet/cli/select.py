"""`edgenet select`: find the best network for a latency budget on a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, megabytes, print_json, shown_progress
from edgenet.cli.option_groups import grouped
from edgenet.cli.sweep_options import Data, GridOptions, VariantOptions

if TYPE_CHECKING:
    from edgenet.verbs.select import Selection

Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for all results. Given again, the command continues from them."),
]
Milliseconds = Annotated[
    float,
    typer.Option("--budget-ms", help="Largest allowed latency (p50) of one inference, in milliseconds."),
]
Megabytes = Annotated[
    float | None, typer.Option("--budget-mb", help="Largest allowed size of the int8 file, in MB.")
]
On = Annotated[
    str,
    typer.Option(
        "--on", metavar="TARGET", help="Device to measure on: local, ssh:USER@HOST[:PORT], adb or adb:SERIAL."
    ),
]
Architectures = Annotated[
    str,
    typer.Option(
        "--architectures",
        metavar="A,A,...",
        help="Architectures to try, each with all widths and resolutions.",
    ),
]


@grouped
def command(
    data: Data,
    out: Out,
    budget_ms: Milliseconds,
    budget_mb: Megabytes = None,
    on: On = "local",
    architectures: Architectures = "mobilenet_v1",
    grid: GridOptions = GridOptions(),  # noqa: B008 (frozen)
    options: VariantOptions = VariantOptions(),  # noqa: B008
    json_output: JsonFlag = False,
) -> None:
    """Find the most accurate int8 network within a latency budget.

    The latency of all candidates is measured on the device before any training. Those within the budget are trained,
    starting with the most mult-adds. Training stops when two candidates in a row are no better than the best so far,
    or when the next one would bring the total above a third of the training of all candidates. The best network is
    packed into a bundle.
    """
    axes = grid.axes()

    def say(line: str) -> None:
        typer.echo(line, err=json_output)

    with shown_progress() as progress:
        from edgenet.training.interrupt import TrainingStopped
        from edgenet.verbs.select import Budget, select
        from edgenet.verbs.sweep_settings import Grid

        grids = [Grid(name.strip(), *axes) for name in architectures.split(",")]
        try:
            result = select(data, out, Budget(budget_ms, budget_mb), grids, options.on(on), progress, say)
        except TrainingStopped as stopped:
            typer.echo(f"edgenet: {stopped.found}; run the same command again to continue", err=True)
            raise typer.Exit(130) from None
    print_json(result) if json_output else _print(result)


def _print(result: Selection) -> None:
    fitting = sum(candidate.fits for candidate in result.candidates)
    typer.echo(
        f"{len(result.candidates)} measured, {fitting} fit the budget, {len(result.trained)} trained: {result.stopped}"
    )
    best, candidate = result.best, result.candidate
    typer.echo(
        f"{result.bundle}: int8 top-1 {best.int8_top1:.2f} % of {best.n} photos "
        f"(95 % interval {best.int8_low:.2f} to {best.int8_high:.2f}), p50 {candidate.p50_ms:.3f} ms, "
        f"{megabytes(best.bytes)}"
    )
    if not candidate.valid:
        typer.echo(f"  its latency is not valid to quote: {'; '.join(candidate.reasons)}")
    typer.echo(result.another_point)
