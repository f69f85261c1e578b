"""`edgenet evaluate`: accuracy of networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, console, note_skipped, print_json, short_names, shown_progress
from edgenet.cli.convert import Normalize, Resolution

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.evaluate import Evaluation

Models = Annotated[
    list[str], typer.Argument(help="Files .tflite or .edgenet, or float sources; compared with the first.")
]
Data = Annotated[
    Path, typer.Option("--data", help="Labelled photos: class folders or a labels.csv, as folder or zip.")
]
Split = Annotated[str | None, typer.Option("--split", help="Which split folder, where the data has several.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Use only so many photos, evenly spread.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of LiteRT.")]


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

    Top-1 and top-5, and how often they agree with the first network.
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


def models_table(result: Evaluation, width: int) -> Table:
    """A row for every network; models are called by their files' names where those differ."""
    from rich import box
    from rich.table import Table

    gap = 2 if width >= 100 else 1
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    table.add_column("model", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("run by", no_wrap=True)
    for heading in ("top-1\n%", "top-5\n%", "agrees\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    names = short_names([row.model for row in result.models])
    for name, row in zip(names, result.models, strict=True):
        top5 = "" if row.top5 is None else f"{row.top5:.2f}"
        # The version stands above the table.
        runtime = row.runtime.split(" ")[0]
        table.add_row(name, row.precision, runtime, f"{row.top1:.2f}", top5, f"{row.agreement:.2f}")
    return table
