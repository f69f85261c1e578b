"""`edgenet evaluate`: accuracy of networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, note_skipped, print_json, shown_progress
from edgenet.cli.convert import Normalize, Resolution

if TYPE_CHECKING:
    from edgenet.verbs.evaluate import Evaluation

Models = Annotated[
    list[str], typer.Argument(help="Files .tflite or .edgenet, or float sources; compared with the first.")
]
Data = Annotated[Path, typer.Option("--data", help="Labelled photos: class folders or a labels.csv, as folder or zip.")]
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
    """Measure top-1 and top-5 of one or more networks on the same labelled photos, and their agreement."""
    from edgenet.verbs.evaluate import EvaluationOptions, evaluate
    from edgenet.verbs.sources import SourceOptions

    with shown_progress() as progress:
        options = EvaluationOptions(split, limit, threads)
        result = evaluate(models, data, options, SourceOptions(resolution, normalize), progress)
    note_skipped(result.skipped)
    print_json(result) if json_output else _print(result)


def _print(result: Evaluation) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{result.n} photos of {result.data}")
    for heading, justify in (("model", "left"), ("", "left"), ("run by", "left")):
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for heading in ("top-1 %", "top-5 %", "agrees %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in result.models:
        top5 = "" if row.top5 is None else f"{row.top5:.2f}"
        table.add_row(row.model, row.precision, row.runtime, f"{row.top1:.2f}", top5, f"{row.agreement:.2f}")
    Console().print(table)
