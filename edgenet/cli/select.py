"""`edgenet select`: the best network for a budget on a device."""

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
    Path, typer.Option("--out", "-o", help="Folder for all that is made; given again, it goes on there.")
]
Milliseconds = Annotated[float, typer.Option("--budget-ms", help="What one inference may take, p50.")]
Megabytes = Annotated[float | None, typer.Option("--budget-mb", help="What the file may take.")]
On = Annotated[str, typer.Option("--on", metavar="TARGET", help="local, ssh:USER@HOST, adb or adb:SERIAL.")]
Architectures = Annotated[
    str, typer.Option("--architectures", metavar="A,A,...", help="Each with all widths and resolutions.")
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
    """Find the network with the best int8 accuracy within a budget that is measured on the device.

    All candidates are measured untrained. Those that fit are trained, the most mult-adds first, until two in a row are
    no better, or before it would be more than a third of the training of all candidates. The best becomes a bundle.
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
            typer.echo(f"edgenet: {stopped.found}; the same command goes on", err=True)
            raise typer.Exit(130) from None
    print_json(result) if json_output else _print(result)


def _print(result: Selection) -> None:
    fitting = sum(candidate.fits for candidate in result.candidates)
    typer.echo(
        f"{len(result.candidates)} measured, {fitting} fit, {len(result.trained)} trained: {result.stopped}"
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
