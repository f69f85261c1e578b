"""The verb `evaluate`: measures how often networks are right on labelled photos, and how often they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenet.accuracy.intervals import Interval, wilson
from edgenet.accuracy.paired import Paired, compare
from edgenet.accuracy.verdict import verdict
from edgenet.data import Loaded, PhotoSet, load_batches, open_photos, outputs_for
from edgenet.data.matching import corresponding
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.verbs.scorers import Scorer, check_options, open_scorer
from edgenet.verbs.sources import SourceOptions

TOP = 5


@dataclass(frozen=True)
class EvaluatedModel:
    """One network's accuracy.

    Attributes:
        top1: percent of the photos whose best score is the right class; `top1_interval` is its 95 %
            confidence interval.
        top5: percent of the photos whose right class is among the best five scores; None for fewer than five
            classes.
        agreement: percent of the photos on which its best class is the same as the first network's. Classes
            are matched by label, so the networks may order their outputs differently.
        against_first: paired comparison with the first network; None for the first network.
        verdict: the conclusion from `against_first` in words; None for the first network.
    """

    model: str
    precision: str
    runtime: str
    top1: float
    top1_interval: Interval
    top5: float | None
    top5_interval: Interval | None
    agreement: float
    against_first: Paired | None
    verdict: str | None


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of networks on the same `n` photos; of equal scores the lower class index ranks first."""

    data: str
    n: int
    models: tuple[EvaluatedModel, ...]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EvaluationOptions:
    """How to evaluate.

    Attributes:
        split: the split folder to use, if the data has several.
        limit: use only this many photos, evenly spread; None for all.
        threads: threads of LiteRT.
    """

    split: str | None = None
    limit: int | None = None
    threads: int = 2


def evaluate(
    models: Sequence[str],
    data: Path,
    options: EvaluationOptions = EvaluationOptions(),
    source_options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Evaluation:
    """Measure top-1 and top-5 of one or more networks on labelled photos.

    Args:
        models: .tflite files, bundles, or float sources; the others are compared with the first.
        data: folder or zip of labelled photos.
        source_options: options for float sources; each source uses only the options that apply to it.

    Raises:
        EdgenetError: the photos have no labels, the classes do not match a network's outputs, or an option
            applies to none of the models.
    """
    check_options(models, source_options)
    photos = open_labelled(data, options.split)  # first, to report a wrong folder early
    scorers = [open_scorer(model, source_options, options.threads, progress) for model in models]
    return evaluate_scorers(scorers, photos, options, progress)


def open_labelled(data: Path, split: str | None = None) -> PhotoSet:
    """Open photos that each have a class.

    Raises:
        EdgenetError: some photos have no class; see also `open_photos`.
    """
    photos = open_photos(data, split=split)
    if any(label is None for label in photos.labels):
        raise EdgenetError(f"the photos in {data} have no labels", "give class folders or a labels.csv")
    return photos


def evaluate_scorers(
    scorers: Sequence[Scorer], photos: PhotoSet, options: EvaluationOptions, progress: Progress = silent
) -> Evaluation:
    """Evaluate opened networks on opened photos; ignore `options.split`, as `photos` is already one split."""
    used = {label for label in photos.labels if label is not None}
    outputs = [outputs_for(photos.class_names, used, scorer.labels, photos.origin) for scorer in scorers]
    ranked, kept = _rank_all(scorers, photos, options, progress)
    hits = [ranks == _truth(kept, own)[:, None] for ranks, own in zip(ranked, outputs, strict=True)]
    figures = [
        _figures(scorer, hit, ranks[:, 0] == _first_answers(scorers[0], ranked[0], scorer))
        for scorer, hit, ranks in zip(scorers, hits, ranked, strict=True)
    ]
    figures[1:] = [_compared(row, hits[0], hit) for row, hit in zip(figures[1:], hits[1:], strict=True)]
    return Evaluation(photos.origin, len(kept.labels), tuple(figures), kept.skipped)


@dataclass(frozen=True)
class _Kept:
    labels: tuple[int, ...]
    skipped: tuple[tuple[str, str], ...]


def _rank_all(
    scorers: Sequence[Scorer], photos: PhotoSet, options: EvaluationOptions, progress: Progress
) -> tuple[list[NDArray[np.intp]], _Kept]:
    """Return each network's best classes on every photo, [n, up to 5]; work in batches to save memory."""
    ranks: list[list[NDArray[np.intp]]] = [[] for _ in scorers]
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    by_size = {scorer.size for scorer in scorers}
    streams = {size: load_batches(photos, size, limit=options.limit) for size in by_size}
    total = min(len(photos), options.limit or len(photos))
    while batches := {
        size: batch for size, stream in streams.items() if (batch := next(stream, None)) is not None
    }:
        for scorer, found in zip(scorers, ranks, strict=True):
            found.append(_best(scorer, batches[scorer.size]))
        any_batch = next(iter(batches.values()))
        labels += [label for label in any_batch.labels if label is not None]
        skipped += any_batch.skipped
        progress("classifying photos", len(labels) + len(skipped), total)
    return [np.concatenate(found) for found in ranks], _Kept(tuple(labels), tuple(skipped))


def _best(scorer: Scorer, batch: Loaded) -> NDArray[np.intp]:
    if not len(batch):
        return np.empty((0, min(TOP, len(scorer.labels))), np.intp)
    return np.argsort(-scorer.score(batch.images), axis=1, kind="stable")[:, :TOP]


def _truth(kept: _Kept, outputs: Mapping[int, int]) -> NDArray[np.intp]:
    """Return the index of the right output for every photo [n]."""
    return np.array([outputs[label] for label in kept.labels], np.intp)


def _first_answers(first: Scorer, ranks: NDArray[np.intp], scorer: Scorer) -> NDArray[np.intp]:
    """Return the first network's best classes as output indices of `scorer` [n]; -1 for a class it lacks."""
    outputs = [-1 if output is None else output for output in corresponding(first.labels, scorer.labels)]
    return np.array(outputs, np.intp)[ranks[:, 0]]


def _figures(scorer: Scorer, hits: NDArray[np.bool_], agrees: NDArray[np.bool_]) -> EvaluatedModel:
    """Compute the accuracy of one network.

    Args:
        hits: whether its best, second best, ... class is right [n, up to 5].
        agrees: whether its best class is the same as the first network's [n].
    """
    n, first, best_five = len(hits), int(hits[:, 0].sum()), int(hits.any(axis=1).sum())
    ranks_five = len(scorer.labels) >= TOP
    return EvaluatedModel(
        model=scorer.model,
        precision=scorer.precision,
        runtime=scorer.runtime,
        top1=100 * first / n,
        top1_interval=wilson(first, n),
        top5=100 * best_five / n if ranks_five else None,
        top5_interval=wilson(best_five, n) if ranks_five else None,
        agreement=100 * int(agrees.sum()) / n,
        against_first=None,
        verdict=None,
    )


def _compared(row: EvaluatedModel, first: NDArray[np.bool_], hits: NDArray[np.bool_]) -> EvaluatedModel:
    paired = compare(first[:, 0], hits[:, 0])
    return replace(row, against_first=paired, verdict=verdict(paired))
