"""Count every published variant and write the table that `edgenet models` reads. A tool for developers.

    python tools/count_zoo.py            # write edgenet/zoo/costs.csv
    python tools/count_zoo.py --check    # only say whether the table is up to date (exit status 1 if not)

Run it after a change of an architecture or of the catalogue.
"""

from __future__ import annotations

import argparse
import sys
from itertools import groupby

import torch

from edgenet.zoo.catalogue import variants_with_weights
from edgenet.zoo.counting import count
from edgenet.zoo.paper import TABLE, VariantCost, costs_csv
from edgenet.zoo.registry import ARCHITECTURES, build, catalogue


def counted() -> tuple[VariantCost, ...]:
    """Return every variant of the catalogue, counted from its torch module."""
    rows = []
    for _, group in groupby(catalogue(), key=lambda variant: (variant.architecture, variant.width)):
        variants = tuple(group)
        # The modules of all resolutions are equal, so one is built; on the meta device it takes no memory.
        with torch.device("meta"):
            network = build(variants[0])
        for variant in variants:
            cost = count(network, variant.resolution)
            family = ARCHITECTURES[variant.architecture].family
            known = variant.name in variants_with_weights()
            rows.append(VariantCost(variant.name, family, cost.mult_adds, cost.parameters, known))
    return tuple(rows)


def main() -> int:
    """Write the table, or compare it with the modules."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    text = costs_csv(counted())
    if parser.parse_args().check:
        same = TABLE.read_text(encoding="utf-8") == text
        print(f"{TABLE} is {'up to date' if same else 'out of date: run tools/count_zoo.py'}")
        return 0 if same else 1
    TABLE.write_text(text, encoding="utf-8")
    print(f"wrote {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
