"""`edgenet evaluate`: accuracy of networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import (
    JsonFlag,
    console,
    interval_text,
    note_skipped,
    paired_text,
    print_json,
    short_names,
    shown_progress,
)
from edgenet.cli.convert import Normalize, Resolution

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.evaluate import EvaluatedModel, Evaluation

Models = Annotated[
    list[str], typer.Argument(help="Files .tflite or .edgenet, or float sources; compared with the first.")
]
Data = Annotated[
    Path, typer.Option("--data", help="Labelled photos: class folders or a labels.csv, as folder or zip.")
]
Split = Annotated[str | None, typer.Option("--split", help="Which split folder, where the data has several.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only so many photos, evenly spread.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of LiteRT.")]

# From this width on the intervals have a place in the table.
WIDE = 120


def command(
    models: Models,
    data: Data,
    split: Split = None,
    limit: Limit = None,
    threads: Threads = 2,
    resolution: Resolution = None,
    normalize: Normalize = None,
    json_output: JsonFlag = False,
) -> None:
    """Measure networks side by side on labelled photos.

    Top-1 and top-5 with 95 % intervals, how often they agree with the first network, and whether what they lose
    against it is more than chance.
    """
    with shown_progress() as progress:
        from edgenet.verbs.evaluate import EvaluationOptions, evaluate
        from edgenet.verbs.sources import SourceOptions

        options = EvaluationOptions(split, limit, threads)
        result = evaluate(models, data, options, SourceOptions(resolution, normalize), progress)
    note_skipped(result.skipped)
    print_json(result) if json_output else _print(result)


def _print(result: Evaluation) -> None:
    runtimes = ", ".join(dict.fromkeys(row.runtime for row in result.models))
    typer.echo(f"{result.n} photos of {result.data}, run by {runtimes}")
    screen = console()
    screen.print(models_table(result, screen.width))
    for line in _sentences(result, screen.width < WIDE):
        screen.print(line)


def _sentences(result: Evaluation, narrow: bool) -> list[str]:
    """What stands below the table: the intervals that had no place in it, and what the comparisons say."""
    names = short_names([row.model for row in result.models])
    rows = list(zip(names, result.models, strict=True))
    intervals = [f"{name}: {_intervals(row)}" for name, row in rows] if narrow else []
    return intervals + [
        f"{name}: {row.verdict}; {paired_text(row.against_first)}" for name, row in rows if row.against_first
    ]


def _intervals(row: EvaluatedModel) -> str:
    top5 = f", of top-5 {interval_text(row.top5_interval)}" if row.top5_interval else ""
    return f"95 % interval of top-1 {interval_text(row.top1_interval)}{top5}"


def models_table(result: Evaluation, width: int) -> Table:
    """A row for every network; models are called by their files' names where those differ.

    A wide terminal gets the 95 % intervals of top-1 and top-5 too.
    """
    from rich import box
    from rich.table import Table

    gap = 2 if width >= 100 else 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    wide = width >= WIDE
    table.add_column("model", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("run by", no_wrap=True)
    between = ("95 %\ninterval",) * wide
    for heading in ("top-1\n%", *between, "top-5\n%", *between, "agrees\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    names = short_names([row.model for row in result.models])
    for name, row in zip(names, result.models, strict=True):
        # The version stands above the table.
        table.add_row(name, row.precision, row.runtime.split(" ")[0], *_figures(row, wide))
    return table


def _figures(row: EvaluatedModel, wide: bool) -> list[str]:
    cells = [f"{row.top1:.2f}"]
    if wide:
        cells.append(interval_text(row.top1_interval))
    cells.append("" if row.top5 is None else f"{row.top5:.2f}")
    if wide:
        cells.append("" if row.top5_interval is None else interval_text(row.top5_interval))
    return [*cells, f"{row.agreement:.2f}"]
