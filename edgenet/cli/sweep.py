"""`edgenet sweep`: train, quantize and measure a grid of widths and resolutions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, console, print_json, shown_progress
from edgenet.cli.option_groups import grouped
from edgenet.cli.sweep_options import Data, GridOptions, VariantOptions

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.sweep import Sweep
    from edgenet.verbs.sweep_rows import SweepRow

Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for all results. Given again, the sweep continues from them."),
]
Architecture = Annotated[
    str, typer.Option("--architecture", help="Architecture of all variants, as in `edgenet models`.")
]
Target = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="Where to measure latency: local, browser, ssh:USER@HOST[:PORT], adb or adb:SERIAL.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Train on this Ray cluster; 'local' starts one on this machine. Needs the extra ray, and the photos at "
        "the path of --data on every machine.",
    ),
]


@grouped
def command(
    data: Data,
    out: Out,
    architecture: Architecture = "mobilenet_v1",
    grid: GridOptions = GridOptions(),  # noqa: B008 (frozen)
    target: Target = "local",
    ray: Ray = None,
    options: VariantOptions = VariantOptions(),  # noqa: B008
    json_output: JsonFlag = False,
) -> None:
    """Train, quantize and time a grid of widths and resolutions.

    Every variant gets a folder with its training, int8 file and latency report. The file sweep.csv has a row for each
    variant, and three figures show accuracy against mult-adds, parameters and measured latency. If the sweep was
    stopped, the same command continues it.
    """
    axes = grid.axes()

    def say(line: str) -> None:
        typer.echo(line, err=json_output)

    with shown_progress() as progress:
        from edgenet.training.interrupt import TrainingStopped
        from edgenet.verbs.sweep import sweep
        from edgenet.verbs.sweep_settings import Grid

        try:
            result = sweep(data, out, Grid(architecture, *axes), options.on(target, ray), progress, say)
        except TrainingStopped as stopped:
            typer.echo(f"edgenet: {stopped.found}; run the same command again to continue", err=True)
            raise typer.Exit(130) from None
    print_json(result) if json_output else _print(result)


def _print(result: Sweep) -> None:
    console().print(rows_table(result.rows))
    for path in result.files:
        typer.echo(f"  {path}")


def rows_table(rows: tuple[SweepRow, ...]) -> Table:
    """Return a table with a row for every variant; * marks the Pareto front, ! a latency that is not valid to quote."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        caption="* on the Pareto front of int8 top-1 and latency   ! not valid to quote, see latency.json",
    )
    table.add_column("variant", overflow="fold")
    for heading in (
        "mult-\nadds M",
        "params\nM",
        "int8\nMB",
        "float\ntop-1 %",
        "int8\ntop-1 %",
        "p50\nms",
        "",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.variant,
            f"{row.mult_adds / 1e6:.1f}",
            f"{row.parameters / 1e6:.2f}",
            f"{row.bytes / 1e6:.2f}",
            f"{row.float_top1:.2f}",
            f"{row.int8_top1:.2f}",
            f"{row.latency_p50_ms:.2f}",
            ("*" if row.front else "") + ("" if row.latency_valid else "!"),
        )
    return table
