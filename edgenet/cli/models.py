"""`edgenet models`: the variants, their cost, and the paper's figures beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenet.cli.console import JsonFlag, console, print_json, shown_progress

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.verbs.models import VariantRow


def command(json_output: JsonFlag = False) -> None:
    """List the network variants and what they cost.

    Mult-adds and parameters are counted; beside them stand the paper's figures.
    """
    with shown_progress():
        from edgenet.verbs.models import models

        rows = models()
    print_json(rows) if json_output else console().print(variants_table(rows))


def variants_table(rows: tuple[VariantRow, ...]) -> Table:
    """A table that fits 80 columns; a rule between widths."""
    from rich import box
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        title="Variants, for 1,000 classes",
        caption="M: millions. Top-1: the paper's, on ImageNet's validation set.",
    )
    table.add_column("variant", no_wrap=True)
    for heading in ("mult-adds\nM", "paper\nM", "params\nM", "paper\nM", "paper\ntop-1 %"):
        table.add_column(heading, justify="right")
    table.add_column("weights")
    family = ""
    for row in rows:
        if family and row.variant.rsplit("_", 1)[0] != family:
            table.add_section()
        family = row.variant.rsplit("_", 1)[0]
        table.add_row(*_cells(row), style="bold" if row.pretrained else None)
    return table


def _cells(row: VariantRow) -> tuple[str, ...]:
    return (
        row.variant,
        f"{row.mult_adds / 1e6:.1f}",
        _published(row.paper_mult_adds_millions),
        f"{row.parameters / 1e6:.2f}",
        _published(row.paper_parameters_millions),
        _published(row.paper_top1),
        "ImageNet" if row.pretrained else "",
    )


def _published(value: float | None) -> str:
    return "" if value is None else str(value)
