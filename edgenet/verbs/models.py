"""The verb `models`: every published variant, what it costs, and what its paper says."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenet.zoo.counting import NetworkCost
    from edgenet.zoo.registry import Variant


@dataclass(frozen=True)
class VariantRow:
    """One variant.

    Attributes:
        variant: its name.
        mult_adds: for one photo, counted from our module as the papers count.
        parameters: weights of convolutions and fully connected layers, as the papers count.
        paper_mult_adds_millions: millions, as published; None where the paper has no such row.
        paper_parameters_millions: millions, as published.
        paper_top1: accuracy on ImageNet's validation set, %, as published; not measured here.
        paper_source: paper and table of the published figures.
        pretrained: whether weights are at hand for it.
    """

    variant: str
    mult_adds: int
    parameters: int
    paper_mult_adds_millions: float | None
    paper_parameters_millions: float | None
    paper_top1: float | None
    paper_source: str | None
    pretrained: bool


def models() -> tuple[VariantRow, ...]:
    """Every variant of the catalogue for 1,000 classes, in the catalogue's order."""
    import torch

    from edgenet.zoo.counting import count
    from edgenet.zoo.registry import build, catalogue

    rows = []
    for _, group in groupby(catalogue(), key=lambda variant: (variant.architecture, variant.width)):
        variants = tuple(group)
        # One network serves all resolutions; on the meta device it takes no memory.
        with torch.device("meta"):
            network = build(variants[0])
        rows += [_row(variant, count(network, variant.resolution)) for variant in variants]
    return tuple(rows)


def _row(variant: Variant, cost: NetworkCost) -> VariantRow:
    from edgenet.zoo.paper import paper_figures
    from edgenet.zoo.weights import PRETRAINED

    paper = paper_figures(variant.name)
    return VariantRow(
        variant=variant.name,
        mult_adds=cost.mult_adds,
        parameters=cost.parameters,
        paper_mult_adds_millions=paper.mult_adds if paper else None,
        paper_parameters_millions=paper.parameters if paper else None,
        paper_top1=paper.top1 if paper else None,
        paper_source=paper.source if paper else None,
        pretrained=variant.name in PRETRAINED,
    )
