"""The verb `models`: every published variant, what it costs, and what its paper says; and whether both agree."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgenet.zoo.counting import NetworkCost
    from edgenet.zoo.paper import PaperFigures
    from edgenet.zoo.registry import Variant


@dataclass(frozen=True)
class VariantRow:
    """One variant.

    Attributes:
        variant: its name.
        family: what it belongs to, for headings.
        mult_adds: for one photo, counted from our module as the papers count.
        parameters: weights of convolutions and fully connected layers, as the papers count.
        paper_mult_adds_millions: millions, as published; None where the paper has no such row.
        paper_parameters_millions: millions, as published.
        paper_top1: accuracy on ImageNet's validation set, %, as published; not measured here.
        paper_source: paper and table of the published figures.
        pretrained: whether weights are at hand for it.
    """

    variant: str
    family: str
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
    from edgenet.zoo.architectures import ARCHITECTURES
    from edgenet.zoo.paper import paper_figures
    from edgenet.zoo.weights import PRETRAINED

    paper = paper_figures(variant.name)
    return VariantRow(
        variant=variant.name,
        family=ARCHITECTURES[variant.architecture].family,
        mult_adds=cost.mult_adds,
        parameters=cost.parameters,
        paper_mult_adds_millions=paper.mult_adds if paper else None,
        paper_parameters_millions=paper.parameters if paper else None,
        paper_top1=paper.top1 if paper else None,
        paper_source=paper.source if paper else None,
        pretrained=variant.name in PRETRAINED,
    )


@dataclass(frozen=True)
class PaperRow:
    """One published row and what we count for the same network.

    Attributes:
        variant: its name.
        source: paper and table.
        top1: as published, %, on ImageNet's validation set; not measured here.
        mult_adds, parameters: counted from our module for 1,000 classes.
        paper_mult_adds_millions, paper_parameters_millions: as published; None where the source has none.
        mult_adds_equal, parameters_equal: whether ours, rounded or rounded down as published, is the paper's; None
            where the source has no such figure.
        mult_adds_why, parameters_why: the reason where it is not.
    """

    variant: str
    source: str
    top1: float | None
    mult_adds: int
    paper_mult_adds_millions: float | None
    mult_adds_equal: bool | None
    mult_adds_why: str
    parameters: int
    paper_parameters_millions: float | None
    parameters_equal: bool | None
    parameters_why: str


def compare_with_papers() -> tuple[PaperRow, ...]:
    """Every published row beside our own count, in the order of the tables."""
    from edgenet.zoo.counting import count_variant
    from edgenet.zoo.paper import FIGURES

    return tuple(_compared(row, count_variant(row.variant)) for row in FIGURES)


def _compared(paper: PaperFigures, cost: NetworkCost) -> PaperRow:
    return PaperRow(
        variant=paper.variant,
        source=paper.source,
        top1=paper.top1,
        mult_adds=cost.mult_adds,
        paper_mult_adds_millions=paper.mult_adds,
        mult_adds_equal=_equal(paper.mult_adds, cost.mult_adds, paper.step),
        mult_adds_why=paper.mult_adds_why,
        parameters=cost.parameters,
        paper_parameters_millions=paper.parameters,
        parameters_equal=_equal(paper.parameters, cost.parameters),
        parameters_why=paper.parameters_why,
    )


def _equal(published: float | None, exact: int, step: float = 1) -> bool | None:
    from edgenet.zoo.paper import comes_out

    return None if published is None else comes_out(published, exact / 1e6, step)
