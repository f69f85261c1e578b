"""`edgenet sweep`: train, quantize and measure a grid of widths and resolutions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import JsonFlag, console, megabytes, print_json, shown_progress
from edgenet.commands.options import flatten_option_groups, numbers
from edgenet.commands.train import AllTrainOptions

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.workflows.select import Selection
    from edgenet.workflows.sweep import Sweep
    from edgenet.workflows.sweep_plan import SweepOptions, SweepRow


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
# ==== edgenet.cli.sweep_options
# The options that `edgenet sweep` and `edgenet select` share, grouped in dataclasses.

Data = Annotated[
    Path,
    typer.Option(
        "--data",
        help="Folder or zip of photos in class folders; these may be inside train and val (or test) folders.",
    ),
]
Widths = Annotated[str, typer.Option("--widths", metavar="W,W,...", help="Width multipliers to try.")]
Resolutions = Annotated[
    str,
    typer.Option("--resolutions", metavar="R,R,...", help="Input resolutions to try, in pixels per side."),
]
Quantization = Annotated[
    str | None,
    typer.Option(
        "--quantization",
        show_default="balanced",
        help="Quantization recipe: minmax, fast, balanced or best (the slowest).",
    ),
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Number of threads of the timed inference.")]
Calm = Annotated[
    float,
    typer.Option(
        "--calm",
        min=0,
        help="Longest wait, in seconds, for the CPU to become idle after training, before timing.",
    ),
]


@dataclass(frozen=True)
class GridOptions:
    """The grid of variants of an architecture."""

    widths: Widths = "1.0,0.75,0.5,0.25"
    resolutions: Resolutions = "224,192,160,128"

    def axes(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """Return the width multipliers, and the resolutions in pixels per side."""
        return numbers(self.widths, float, "--widths"), numbers(self.resolutions, int, "--resolutions")


@dataclass(frozen=True)
class Int8Options:
    """How each trained network is quantized and timed."""

    threads: Threads = 1
    quantization: Quantization = None
    calm: Calm = 90.0


@dataclass(frozen=True)
class VariantOptions:
    """How each variant is trained, quantized and timed."""

    int8: Int8Options = Int8Options()
    training: AllTrainOptions = AllTrainOptions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        if self.training.start.qat:
            raise typer.BadParameter(
                "each network is quantized after its training; use --qat with `edgenet train` instead"
            )

    def on(self, target: str, ray: str | None = None) -> SweepOptions:
        """Return the options as `edgenet.sweep` and `edgenet.select` take them."""
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.workflows.sweep_plan import SweepOptions

        int8 = self.int8
        return SweepOptions(
            training=self.training.as_options(),
            recipe=int8.quantization or DEFAULT_RECIPE,
            target=target,
            threads=int8.threads,
            calm_s=int8.calm,
            ray=ray,
        )


@flatten_option_groups
def sweep_command(
    data: Data,
    out: Out,
    architecture: Architecture = "mobilenet_v1",
    grid: GridOptions = GridOptions(),
    target: Target = "local",
    ray: Ray = None,
    options: VariantOptions = VariantOptions(),
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
        from edgenet.workflows.sweep import sweep
        from edgenet.workflows.sweep_plan import Grid

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


# ==== edgenet.cli.select
# `edgenet select`: find the best network for a latency budget on a device.

SelectOut = Annotated[
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


@flatten_option_groups
def select_command(
    data: Data,
    out: SelectOut,
    budget_ms: Milliseconds,
    budget_mb: Megabytes = None,
    on: On = "local",
    architectures: Architectures = "mobilenet_v1",
    grid: GridOptions = GridOptions(),
    options: VariantOptions = VariantOptions(),
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
        from edgenet.workflows.select import Budget, select
        from edgenet.workflows.sweep_plan import Grid

        grids = [Grid(name.strip(), *axes) for name in architectures.split(",")]
        try:
            result = select(data, out, Budget(budget_ms, budget_mb), grids, options.on(on), progress, say)
        except TrainingStopped as stopped:
            typer.echo(f"edgenet: {stopped.found}; run the same command again to continue", err=True)
            raise typer.Exit(130) from None
    print_json(result) if json_output else _print_selection(result)


def _print_selection(result: Selection) -> None:
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
