"""`edgenet sweep`: a grid of widths and resolutions, each trained, quantized and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, console, print_json, shown_progress
from edgenet.cli.numbers import numbers
from edgenet.cli.option_groups import grouped
from edgenet.cli.train import Device, HoldOut, Memory, training_options
from edgenet.cli.train_options import AugmentationOptions, RecipeOptions, StartOptions

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.sweep import Sweep
    from edgenet.verbs.sweep_rows import SweepRow

Data = Annotated[
    Path,
    typer.Option("--data", help="Folder or zip of class folders, in train and val (or test) folders or not."),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for all that is made; given again, the sweep goes on.")
]
Architecture = Annotated[str, typer.Option("--architecture", help="Of all variants.")]
Widths = Annotated[str, typer.Option("--widths", metavar="W,W,...", help="Width multipliers.")]
Resolutions = Annotated[str, typer.Option("--resolutions", metavar="R,R,...", help="Pixels a side.")]
Quantization = Annotated[
    str | None, typer.Option("--quantization", show_default="the best", help="The recipe, as of convert.")
]
Target = Annotated[
    str,
    typer.Option("--target", metavar="TARGET", help="Where latency is measured, as --on of bench."),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Of the inference that is timed.")]
Calm = Annotated[
    float,
    typer.Option("--calm", min=0, help="Longest wait for the load of training to go before timing, seconds."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Train on this Ray cluster; local starts one here. Needs the extra ray, and --data on every machine.",
    ),
]


@grouped
def command(
    data: Data,
    out: Out,
    architecture: Architecture = "mobilenet_v1",
    widths: Widths = "1.0,0.75,0.5,0.25",
    resolutions: Resolutions = "224,192,160,128",
    target: Target = "local",
    threads: Threads = 1,
    quantization: Quantization = None,
    calm: Calm = 90.0,
    ray: Ray = None,
    start: StartOptions = StartOptions(),  # noqa: B008 (frozen)
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008
    augmentation: AugmentationOptions = AugmentationOptions(),  # noqa: B008
    hold_out: HoldOut = None,
    device: Device = None,
    memory: Memory = None,
    json_output: JsonFlag = False,
) -> None:
    """Train, quantize and time a grid of widths and resolutions.

    Every variant gets a folder with its training, int8 file and latency report; sweep.csv has a row for each, and
    three figures show accuracy against mult-adds, parameters and measured latency. The same command, given again
    after a stop, goes on where it stopped.
    """
    if start.qat:
        raise typer.BadParameter("a sweep quantizes what it has trained; give --qat to `edgenet train`")
    grid = (architecture, numbers(widths, float, "--widths"), numbers(resolutions, int, "--resolutions"))

    def say(line: str) -> None:
        typer.echo(line, err=json_output)

    with shown_progress() as progress:
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.training.interrupt import TrainingStopped
        from edgenet.verbs.sweep import sweep
        from edgenet.verbs.sweep_settings import Grid, SweepOptions

        training = training_options((start, recipe, augmentation), hold_out, device, memory)
        options = SweepOptions(training, quantization or DEFAULT_RECIPE, target, threads, calm, ray)
        try:
            result = sweep(data, out, Grid(*grid), options, progress, say)
        except TrainingStopped as stopped:
            typer.echo(f"edgenet: {stopped.found}; the same command goes on", err=True)
            raise typer.Exit(130) from None
    print_json(result) if json_output else _print(result)


def _print(result: Sweep) -> None:
    console().print(rows_table(result.rows))
    for path in result.files:
        typer.echo(f"  {path}")


def rows_table(rows: tuple[SweepRow, ...]) -> Table:
    """A row for every variant; * marks the Pareto front, ! a latency that is not valid to quote."""
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
