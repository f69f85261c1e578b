"""The table of every published variant's cost, so that listing the variants needs no torch.

`python tools/count_zoo.py` writes the table costs.csv from the torch modules, and tests/zoo/test_costs.py checks that
every row equals what the modules count.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("costs.csv")


@dataclass(frozen=True)
class VariantCost:
    """One row of the table.

    Attributes:
        variant: the variant's name.
        family: the heading of its architecture in listings.
        mult_adds, parameters: counted from the torch module for 1,000 classes (see `edgenet.zoo.counting`).
        pretrained: whether edgenet can load ImageNet weights for it.
    """

    variant: str
    family: str
    mult_adds: int
    parameters: int
    pretrained: bool


def read_costs() -> tuple[VariantCost, ...]:
    """Return every variant of the catalogue, in the catalogue's order."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(
            VariantCost(
                row["variant"],
                row["family"],
                int(row["mult_adds"]),
                int(row["parameters"]),
                row["pretrained"] == "yes",
            )
            for row in csv.DictReader(file)
        )


def costs_csv(rows: tuple[VariantCost, ...]) -> str:
    """Return the text of the table for these rows."""
    lines = ["variant,family,mult_adds,parameters,pretrained"]
    for row in rows:
        known = "yes" if row.pretrained else "no"
        lines.append(f"{row.variant},{row.family},{row.mult_adds},{row.parameters},{known}")
    return "\n".join(lines) + "\n"
