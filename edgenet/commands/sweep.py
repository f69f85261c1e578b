"""`edgenet sweep` trains and times a grid of networks; `edgenet select` finds the best one for a latency budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.commands.console import console, log_to, megabytes, plain_table, print_json, say, shown_progress
from edgenet.commands.interrupts import INTERRUPTED
from edgenet.commands.options import (
    ARCHITECTURES,
    CLASS_FOLDERS,
    SETTLE,
    TARGETS,
    ArchitectureName,
    JsonFlag,
    Recipe,
    Threads,
    numbers,
    on_option,
)
from edgenet.commands.training_options import AllTrainOptions
from edgenet.commands.typer_command import Alias, checked, usage_errors
from edgenet.errors import EdgenetError

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.workflows.select import Selection
    from edgenet.workflows.sweep import Sweep
    from edgenet.workflows.sweep_plan import SweepRow

Data = Annotated[Path, typer.Option("--data", help=CLASS_FOLDERS)]
Out = Annotated[
    Path,
    typer.Option("--out", "-o", help="Folder for all results. Given again, the command continues from them."),
]


def _check_architectures(text: str) -> None:
    for name in text.split(","):
        if name.strip() not in ARCHITECTURES:
            raise EdgenetError(
                f"'{name}' is not an architecture", f"the architectures are {', '.join(ARCHITECTURES)}"
            )


Architecture = Annotated[
    ArchitectureName,
    typer.Option(
        "--architecture",
        metavar="NAME",
        help=f"Architecture of all variants: {', '.join(ARCHITECTURES)}.",
    ),
]
Architectures = Annotated[
    str,
    typer.Option(
        "--architectures",
        metavar="NAME,NAME,...",
        parser=checked(_check_architectures),
        help=f"Architectures to try, each with all widths and resolutions: {', '.join(ARCHITECTURES)}.",
    ),
]
On = Annotated[str, on_option(*TARGETS), Alias("--target")]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Train on this Ray cluster; 'local' starts one on this machine. Needs the extra ray, and the photos at "
        "the path of --data on every machine.",
    ),
]
Widths = Annotated[str, typer.Option("--widths", metavar="W,W,...", help="Width multipliers to try.")]
Resolutions = Annotated[
    str,
    typer.Option("--resolutions", metavar="R,R,...", help="Input resolutions to try, in pixels per side."),
]
Settle = Annotated[float, typer.Option("--settle", metavar="SECONDS", min=0, help=SETTLE), Alias("--calm")]
FromScratch = Annotated[
    bool,
    typer.Option(
        "--from-scratch",
        help="Train all networks from random weights. Otherwise those that have ImageNet weights start from them.",
    ),
]
BudgetMilliseconds = Annotated[
    float,
    typer.Option("--budget-ms", help="Largest allowed latency (p50) of one inference, in milliseconds."),
]
BudgetMegabytes = Annotated[
    float | None, typer.Option("--budget-mb", help="Largest allowed size of the int8 file, in MB.")
]


@dataclass(frozen=True)
class GridOptions:
    """The grid of variants of an architecture."""

    widths: Widths = "1.0,0.75,0.5,0.25"
    resolutions: Resolutions = "224,192,160,128"

    def arguments(self, architectures: Sequence[str]) -> dict[str, Any]:
        """Return the options as arguments of `edgenet.sweep` and `edgenet.select`.

        Raises:
            typer.BadParameter: a text is not a list of numbers, or one of the architectures lacks a variant.
        """
        widths = numbers(self.widths, float, "--widths")
        resolutions = numbers(self.resolutions, int, "--resolutions")
        from edgenet.workflows.sweep_plan import Grid

        with usage_errors():
            for architecture in architectures:
                Grid(architecture, widths, resolutions).variants()
        return {"widths": widths, "resolutions": resolutions}


@dataclass(frozen=True)
class Int8Options:
    """How each trained network is quantized and timed."""

    threads: Threads = 1
    recipe: Recipe = None
    settle: Settle = 90.0


@dataclass(frozen=True)
class VariantOptions:
    """How each variant is trained, quantized and timed."""

    int8: Int8Options = Int8Options()
    training: AllTrainOptions = AllTrainOptions()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        self.training.check(qat=False)

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return the options as arguments that `edgenet.sweep` and `edgenet.select` share.

        Args:
            more: further arguments of them that describe how each variant is trained and timed.

        Raises:
            typer.BadParameter: a value is wrong.
        """
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.workflows.sweep_plan import SweepOptions

        values = {**asdict(self.int8), "training": self.training.as_options(), **more}
        values["recipe"] = values["recipe"] or DEFAULT_RECIPE
        with usage_errors():
            SweepOptions(**values).check()
        return values


def sweep_command(
    data: Data,
    out: Out,
    architecture: Architecture = "mobilenet_v1",
    grid: GridOptions = GridOptions(),
    on: On = "local",
    ray: Ray = None,
    from_scratch: FromScratch = False,
    options: VariantOptions = VariantOptions(),
    json_output: JsonFlag = False,
) -> None:
    """Train, quantize and time a grid of widths and resolutions.

    Every variant gets a folder with its training, int8 file and latency report. The file sweep.csv has a row for each
    variant, and three figures show accuracy against mult-adds, parameters and measured latency. If the sweep was
    stopped, the same command continues it.
    """

    with shown_progress() as progress:
        from edgenet.workflows.sweep import sweep

        variants = grid.arguments([architecture])
        arguments = options.arguments(on=on, ray=ray, from_scratch=from_scratch)
        with _stopped_by_signals():
            result = sweep(
                data,
                out,
                architecture=architecture,
                **variants,
                **arguments,
                progress=progress,
                log=log_to(json_output),
            )
    print_json(result) if json_output else _print(result)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """End with status 130, and say how to go on, when Ctrl-C or SIGTERM stops a training in the block."""
    from edgenet.training.processes import TrainingStopped

    try:
        yield
    except TrainingStopped as stopped:
        say(f"edgenet: {stopped.found}; run the same command again to continue", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _print(result: Sweep) -> None:
    console().print(rows_table(result.rows))
    for path in result.files:
        say(f"  {path}")


def rows_table(rows: tuple[SweepRow, ...]) -> Table:
    """Return a table with a row for every variant; * marks the Pareto front, ! a latency that is not valid to quote."""
    table = plain_table(
        caption="95 %: confidence interval of int8 top-1   * on the Pareto front of int8 top-1 and latency   "
        "! not valid to quote, see latency.json",
    )
    table.add_column("variant", overflow="fold")
    for heading in (
        "mult-\nadds M",
        "params\nM",
        "int8\nMB",
        "float\ntop-1",
        "int8\ntop-1  95 %",
        "p50\nms   ",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        marks = ("*" if row.front else "") + ("" if row.latency_valid else "!")
        table.add_row(
            row.variant,
            f"{row.mult_adds / 1e6:.1f}",
            f"{row.parameters / 1e6:.2f}",
            f"{row.bytes / 1e6:.2f}",
            f"{row.float_top1:.2f}",
            f"{row.int8_top1:.2f}  {row.int8_low:.0f}-{row.int8_high:.0f}",
            f"{row.latency_p50_ms:.2f} {marks:<2}",
        )
    return table


def select_command(
    data: Data,
    out: Out,
    budget_ms: BudgetMilliseconds,
    budget_mb: BudgetMegabytes = None,
    on: On = "local",
    architectures: Architectures = "mobilenet_v1",
    grid: GridOptions = GridOptions(),
    from_scratch: FromScratch = False,
    options: VariantOptions = VariantOptions(),
    json_output: JsonFlag = False,
) -> None:
    """Find the most accurate network for a latency budget.

    The latency of all candidates is measured on the device before any training. Those within the budget are trained,
    starting with the most mult-adds. Training stops when two candidates in a row are no better than the best so far,
    or when the next one would bring the total above a third of the training of all candidates. The best network is
    packed into a bundle.
    """

    with shown_progress() as progress:
        from edgenet.workflows.select import Budget, select

        names = [name.strip() for name in architectures.split(",")]
        with usage_errors():
            Budget(budget_ms, budget_mb).check()
        arguments = options.arguments(on=on, from_scratch=from_scratch)
        variants = grid.arguments(names)
        with _stopped_by_signals():
            result = select(
                data,
                out,
                budget_ms=budget_ms,
                budget_mb=budget_mb,
                architectures=names,
                **variants,
                **arguments,
                progress=progress,
                log=log_to(json_output),
            )
    print_json(result) if json_output else _print_selection(result)


def _print_selection(result: Selection) -> None:
    fitting = sum(candidate.fits for candidate in result.candidates)
    say(
        f"{len(result.candidates)} measured, {fitting} fit the budget, {len(result.trained)} trained: {result.stopped}"
    )
    reported, candidate = result.reported, result.candidate
    interval = f"{reported.int8_interval.low:.2f} to {reported.int8_interval.high:.2f}"
    say(
        f"{result.bundle}: int8 top-1 {reported.int8_top1:.2f} % of {reported.n} photos "
        f"(95 % interval {interval}), p50 {candidate.p50_ms:.3f} ms, {megabytes(result.best.bytes)}"
    )
    if reported.chose:
        say(
            "  these photos also chose the network, so its accuracy is too high: hold out more of them, "
            "or take photos of every class in at least 2 more places"
        )
    if not candidate.valid:
        say(f"  its latency is not valid to quote: {'; '.join(candidate.reasons)}")
    say(result.another_point)
