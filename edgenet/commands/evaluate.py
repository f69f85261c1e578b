"""`edgenet evaluate`: measure the accuracy of networks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import (
    console,
    interval_text,
    note_skipped,
    paired_text,
    plain_table,
    print_json,
    say,
    short_names,
    shown_progress,
    warn,
)
from edgenet.commands.options import LABELLED_PHOTOS, InputOptions, JsonFlag, Threads
from edgenet.commands.quick_imports import quick_imports

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.workflows.evaluate import EvaluatedModel, Evaluation


Models = Annotated[
    list[str],
    typer.Argument(
        help="Networks: .tflite or .edgenet files, or float sources as in convert. Each is compared with the first."
    ),
]
Data = Annotated[Path, typer.Option("--data", help=LABELLED_PHOTOS)]
Split = Annotated[
    str | None, typer.Option("--split", help="Split folder to use (such as val), if the data has several.")
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Use at most this many photos, evenly spread over the data."),
]
# In terminals at least this wide, the table has columns for the intervals.
WIDE = 120


def evaluate_command(
    models: Models,
    data: Data,
    inputs: InputOptions,
    split: Split = None,
    limit: Limit = None,
    threads: Threads = 2,
    json_output: JsonFlag = False,
) -> None:
    """Measure the accuracy of networks on labelled photos.

    The command prints top-1 and top-5 accuracy with 95 % confidence intervals, how often each network agrees with the
    first one, and whether it loses more against the first one than chance explains.
    """
    with shown_progress() as progress:
        with quick_imports():
            from edgenet.workflows.evaluate import evaluate

        result = evaluate(
            models,
            data,
            split=split,
            limit=limit,
            threads=threads,
            **inputs.arguments(),
            progress=progress,
        )
    note_skipped(result.skipped)
    warn(result.account.warnings)
    print_json(result) if json_output else _print(result)


def _print(result: Evaluation) -> None:
    runtimes = ", ".join(dict.fromkeys(row.runtime for row in result.models))
    say(f"{result.n} photos of {result.data}, run by {runtimes}")
    for line in result.account.lines():
        say(line)
    screen = console()
    screen.print(models_table(result, screen.width))
    for line in _sentences(result, screen.width < WIDE):
        screen.print(line)


def _sentences(result: Evaluation, narrow: bool) -> list[str]:
    """Return the lines below the table: intervals that do not fit into it, and what the comparisons show."""
    names = short_names([row.model for row in result.models])
    rows = list(zip(names, result.models, strict=True))
    intervals = [f"{name}: {_intervals(row)}" for name, row in rows] if narrow else []
    compared = [
        f"{name}: {row.verdict}; {paired_text(row.against_first)}" for name, row in rows if row.against_first
    ]
    return [
        *intervals,
        *compared,
        *(f"{name}: {_logits(row, result.n)}" for name, row in rows if row.kl is not None),
        *(f"{name}: {_losing(row)}" for name, row in rows if row.losing),
        *(f"{name}: {_unknown(row)}" for name, row in rows if row.unknown is not None),
    ]


def _logits(row: EvaluatedModel, n: int) -> str:
    text = (
        f"its probabilities diverge from the first network's by {row.kl:.4f} nats; SQNR of the logits "
        f"{row.worst_db:.1f} dB on the worst 5 % of the photos"
    )
    if row.saturated is None:
        return text
    cut_off = ", where they may be cut off" if row.saturated else ""
    return f"{text}; logits saturate on {row.saturated} of {n} photos{cut_off}"


def _losing(row: EvaluatedModel) -> str:
    classes = ", ".join(f"{one.label} {one.lost - one.won} of {one.n}" for one in row.losing)
    return f"the classes that lose most right answers: {classes}"


def _unknown(row: EvaluatedModel) -> str:
    text = f'"nothing I know" for {row.unknown:.2f} % of the photos; the accuracy is that among the classes'
    if row.false_alarms is None:
        return text
    return f"{text}; of the photos of other things, {row.false_alarms:.2f} % are called a class"


def _intervals(row: EvaluatedModel) -> str:
    top5 = f", of top-5 {interval_text(row.top5_interval)}" if row.top5_interval else ""
    return f"95 % interval of top-1 {interval_text(row.top1_interval)}{top5}"


def models_table(result: Evaluation, width: int) -> Table:
    """Return a table with a row for every network, named by the shortest end of its path that is unique.

    In a wide terminal the table also has the 95 % intervals of top-1 and top-5.
    """
    gap = 2 if width >= 100 else 1
    table = plain_table(padding=(0, gap - 1, 0, 0))
    wide = width >= WIDE
    table.add_column("model", overflow="fold")
    table.add_column("type", no_wrap=True)
    table.add_column("run by", no_wrap=True)
    between = ("95 %\ninterval",) * wide
    for heading in ("top-1\n%", *between, "top-5\n%", *between, "agrees\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    names = short_names([row.model for row in result.models])
    for name, row in zip(names, result.models, strict=True):
        # The line above the table has the runtime's version.
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
