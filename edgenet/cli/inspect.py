"""`edgenet inspect`: what stands in a .tflite file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, megabytes, print_json, shown_progress
from edgenet.cli.convert import Normalize

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.inspect import Inspection

Model = Annotated[Path, typer.Argument(help="A .tflite file or a bundle.")]
Against = Annotated[str | None, typer.Option("--against", help="The float network, for the error of every layer.")]
Data = Annotated[Path | None, typer.Option("--data", help="Photos for the comparison; a folder or zip.")]
Photos = Annotated[int, typer.Option("--photos", min=1, help="How many of the photos to compare on.")]


def command(
    model: Model,
    against: Against = None,
    data: Data = None,
    photos: Photos = 32,
    normalize: Normalize = None,
    json_output: JsonFlag = False,
) -> None:
    """Show a file's operators, tensors and sizes; with --against FLOAT --data PHOTOS also each layer's int8 error."""
    if (against is None) != (data is None):
        raise typer.BadParameter("--against FLOAT and --data PHOTOS go together")
    from edgenet.verbs.inspect import Comparison, inspect
    from edgenet.verbs.sources import SourceOptions

    with shown_progress() as progress:
        comparison = Comparison(against, data, photos) if against and data else None
        result = inspect(model, comparison, SourceOptions(normalization=normalize), progress)
    print_json(result) if json_output else _print(result)


def _print(result: Inspection) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{result.model}[/bold]: {megabytes(result.bytes)}, {result.precision}")
    console.print(f"  {result.input} to {result.output}, {result.labels} labels", markup=False)
    if result.facts:
        console.print(f"  weights: {result.facts.weights.origin}", markup=False)
    if result.facts and result.facts.quantization:
        steps = "; ".join(result.facts.quantization.steps)
        console.print(f"  recipe {result.facts.quantization.recipe}: {steps}", markup=False)
    cost = result.cost
    console.print(
        f"  {cost.mult_adds / 1e6:.1f} M mult-adds, {cost.parameters / 1e6:.2f} M parameters, "
        f"at most {cost.peak_activation_values / 1e6:.2f} M activation values at once"
    )
    console.print(_table(result))
    kinds = ", ".join(f"{count} {kind}" for kind, count in result.kinds.items())
    console.print(f"{len(result.operators)} operators: {kinds}")


def _table(result: Inspection) -> Table:
    from rich import box
    from rich.table import Table

    errors = {error.node: error for error in result.errors or ()}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("operator", no_wrap=True)
    table.add_column("output", overflow="ellipsis", no_wrap=True, max_width=28)
    for heading in ("shape", "M mult-adds", "kB", "scale", "zero"):
        table.add_column(heading, justify="right", no_wrap=True)
    if result.errors is not None:
        for heading in ("SQNR dB", "range used"):
            table.add_column(heading, justify="right", no_wrap=True)
    for row in result.operators:
        cells = [str(row.number), row.kind, row.output[-28:], "x".join(map(str, row.shape[1:]))]
        cells.append(f"{row.mult_adds / 1e6:.2f}" if row.mult_adds else "")
        cells.append(f"{row.weight_bytes / 1e3:.1f}" if row.weight_bytes else "")
        cells += ["", ""] if row.scale is None else [f"{row.scale:.5g}", str(row.zero_point)]
        if result.errors is not None:
            error = errors.get(row.output)
            cells += [f"{error.sqnr_db:.1f}", f"{error.range_used:.0%}"] if error else ["", ""]
        table.add_row(*cells)
    return table
