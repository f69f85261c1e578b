"""`edgenet models`: the variants, their cost, and the paper's figures beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, console, print_json, shown_progress

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.models import PaperRow, VariantRow

PaperFlag = Annotated[
    bool, typer.Option("--paper", help="Only what papers published: is it what we count, and if not, why?")
]


def command(paper: PaperFlag = False, json_output: JsonFlag = False) -> None:
    """List the network variants and what they cost.

    Mult-adds and parameters are counted; beside them stand the paper's figures. MobileNets can be built at other
    width multipliers and resolutions too, such as mobilenet_v3_small_0.5_128.
    """
    with shown_progress():
        from edgenet.verbs.models import compare_with_papers, models

        compared = compare_with_papers() if paper else ()
        rows = () if paper else models()
    if json_output:
        print_json(compared if paper else rows)
    elif paper:
        _print_compared(compared)
    else:
        console().print(variants_table(rows))


def variants_table(rows: tuple[VariantRow, ...]) -> Table:
    """A table that fits 80 columns; a heading for each family, a rule between families."""
    table = _table("Variants, for 1,000 classes")
    table.caption = "M: millions. Top-1: the paper's, on ImageNet's validation set. *: ImageNet weights."
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


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, title=title)


def _cells(row: VariantRow) -> tuple[str, ...]:
    return (
        row.variant + (" *" if row.pretrained else ""),
        f"{row.mult_adds / 1e6:.1f}",
        _published(row.paper_mult_adds_millions),
        f"{row.parameters / 1e6:.2f}",
        _published(row.paper_parameters_millions),
        _published(row.paper_top1),
    )


def _published(value: float | None) -> str:
    return "" if value is None else str(round(value, 2))


def _print_compared(rows: tuple[PaperRow, ...]) -> None:
    """The table, and below it the reasons by number."""
    screen, reasons = console(), dict[str, int]()
    screen.print(paper_table(rows, reasons))
    for reason, number in reasons.items():
        screen.print(f"{number}: {reason}")
    figures = [equal for row in rows for equal in (row.mult_adds_equal, row.parameters_equal)]
    screen.print(f"{figures.count(True)} of {len(figures) - figures.count(None)} figures are the paper's.")


def paper_table(rows: tuple[PaperRow, ...], reasons: dict[str, int]) -> Table:
    """A table that fits 80 columns; figures that differ refer to a reason, which is put into `reasons`."""
    table = _table("Published figures beside ours, in millions, for 1,000 classes")
    table.caption = "=: ours is the paper's, rounded as it is there. A number: see below."
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
