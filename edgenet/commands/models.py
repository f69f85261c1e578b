"""`edgenet models` lists the networks and their official weights; `edgenet fetch` brings weights to this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import console, log_to, plain_table, print_json, say, shown_progress
from edgenet.commands.options import JsonFlag

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.workflows.models import PaperRow, VariantRow, WeightsRow


PaperFlag = Annotated[
    bool,
    typer.Option(
        "--paper", help="Show only published figures, whether our counts equal them, and if not, why."
    ),
]


WeightsFlag = Annotated[
    bool,
    typer.Option(
        "--weights",
        help="List the official ImageNet weights, which `edgenet fetch` brings, and which are here.",
    ),
]


def models_command(
    paper: PaperFlag = False, weights: WeightsFlag = False, json_output: JsonFlag = False
) -> None:
    """List the network variants and what they cost.

    Mult-adds and parameters are counted from our networks and shown next to the published figures. MobileNets can also
    be built with other width multipliers and resolutions, such as mobilenet_v3_small_0.5_128.
    """
    from edgenet.workflows.models import compare_with_papers, list_weights, models

    if paper and weights:
        raise typer.BadParameter("give --paper or --weights, not both")
    if weights:
        listed = list_weights()
        print_json(listed) if json_output else console().print(weights_table(listed))
        return
    compared = compare_with_papers() if paper else ()
    rows = () if paper else models()
    if json_output:
        print_json(compared if paper else rows)
    elif paper:
        _print_compared(compared)
    else:
        console().print(variants_table(rows))


def variants_table(rows: tuple[VariantRow, ...]) -> Table:
    """Return a table that fits 80 columns, with a heading for each family and a line between families."""
    table = _table("Variants, for 1,000 classes")
    table.caption = "M: millions. Top-1: as published, on ImageNet's validation set. *: ImageNet weights."
    table.add_column("variant", no_wrap=True)
    for heading in ("mult-\nadds M", "paper\nM", "params\nM", "paper\nM", "top-1\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    family = ""
    for row in rows:
        if row.family != family:
            table.add_section()
            table.add_row(row.family, style="italic")
        family = row.family
        table.add_row(*_cells(row), style="bold" if row.pretrained else None)
    return table


def weights_table(rows: tuple[WeightsRow, ...]) -> Table:
    """Return a table that fits 80 columns: a line for each variant with its cost, and below it one for each file."""
    table = _table("Official ImageNet weights")
    table.caption = (
        "*: meant by the variant's name alone. Top-1: as published. here: on this machine; "
        "`edgenet fetch NAME` brings the others, such as mobilenet_v2_0.5_224:keras."
    )
    table.add_column("variant and :tag", no_wrap=True)
    for heading in ("mult-\nadds M", "params\nM", "top-1\n%", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    variant = ""
    for row in rows:
        if row.variant != variant:
            table.add_row(row.variant, f"{row.mult_adds / 1e6:.1f}", f"{row.parameters / 1e6:.2f}")
        variant = row.variant
        tag = f"  :{row.name.partition(':')[2]}" + (" *" if row.default else "")
        size = "" if row.size is None else f"{row.size / 1e6:.1f}"
        top1, here = "" if row.top1 is None else f"{row.top1:.1f}", "here" if row.path else ""
        table.add_row(tag, "", "", top1, size, here, style="bold" if row.path else None)
    return table


def _table(title: str) -> Table:
    return plain_table(show_edge=True, collapse_padding=True, title=title)


def _cells(row: VariantRow) -> tuple[str, ...]:
    return (
        row.variant + ("*" if row.pretrained else ""),
        f"{row.mult_adds / 1e6:.1f}",
        _published(row.paper_mult_adds_millions),
        f"{row.parameters / 1e6:.2f}",
        _published(row.paper_parameters_millions),
        _published(row.paper_top1),
    )


def _published(value: float | None) -> str:
    return "" if value is None else str(round(value, 2))


def _print_compared(rows: tuple[PaperRow, ...]) -> None:
    """Print the table, and below it the numbered reasons."""
    screen, reasons = console(), dict[str, int]()
    screen.print(paper_table(rows, reasons))
    for reason, number in reasons.items():
        screen.print(f"{number}: {reason}")
    figures = [equal for row in rows for equal in (row.mult_adds_equal, row.parameters_equal)]
    screen.print(
        f"{figures.count(True)} of {len(figures) - figures.count(None)} figures equal the published ones."
    )


def paper_table(rows: tuple[PaperRow, ...], reasons: dict[str, int]) -> Table:
    """Return a table that fits 80 columns; a figure that differs shows the number of its reason in `reasons`."""
    table = _table("Published figures next to ours, in millions, for 1,000 classes")
    table.caption = "=: our figure, rounded alike, equals the paper's. A number: see the reason below."
    table.add_column("variant", no_wrap=True)
    for heading in ("mult-\nadds", "paper", "", "params", "paper", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.variant,
            f"{row.mult_adds / 1e6:.1f}",
            _published(row.paper_mult_adds_millions),
            _mark(row.mult_adds_equal, row.mult_adds_why, reasons),
            f"{row.parameters / 1e6:.2f}",
            _published(row.paper_parameters_millions),
            _mark(row.parameters_equal, row.parameters_why, reasons),
        )
    return table


def _mark(equal: bool | None, why: str, reasons: dict[str, int]) -> str:
    if equal is None:
        return ""
    return "=" if equal else str(reasons.setdefault(why, len(reasons) + 1))


Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Variants, such as mobilenet_v2_0.5_224; a tag after a colon chooses among several weights of a variant "
        "(mobilenet_v2_0.5_224:keras). `all` means the weights of every variant.",
    ),
]
Origin = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FOLDER|URL",
        help="Take the files from this folder or from a server with copies of them, instead of the official addresses.",
    ),
]


def fetch_command(names: Names, origin: Origin = None, json_output: JsonFlag = False) -> None:
    """Download official ImageNet weights.

    Trainings and conversions then need no network. `edgenet models --weights` lists the weights. Every file is checked
    before it is kept; a download that was interrupted goes on where it stopped. The files go into the cache folder
    (EDGENET_CACHE, or the system's usual place).
    """
    with shown_progress() as progress:
        from edgenet.workflows.fetch import fetch

        fetched = fetch(names, origin=origin, progress=progress, log=log_to(json_output))
    if json_output:
        print_json(fetched)
        return
    for one in fetched:
        state = "fetched" if one.new else "already here"
        say(f"{one.name}: {one.size / 1e6:.1f} MB, {state}: {one.path}")
        say(f"  {one.source}; {one.licence}")
