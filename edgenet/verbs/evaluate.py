"""The verb `evaluate`: how often networks are right on labelled photos, and how often they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenet.data import Loaded, PhotoSet, load_batches, open_photos, outputs_for
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.verbs.scorers import Scorer, open_scorer
from edgenet.verbs.sources import SourceOptions

TOP = 5


@dataclass(frozen=True)
class EvaluatedModel:
    """One network's figures.

    Attributes:
        top1: percent of the photos whose best score is the right class.
        top5: percent whose right class is among the best five; None for fewer than five classes.
        agreement: percent of the photos on which its best class is that of the first network.
    """

    model: str
    precision: str
    runtime: str
    top1: float
    top5: float | None
    agreement: float


@dataclass(frozen=True)
class Evaluation:
    """Networks on the very same `n` photos; equal scores are ordered by class index."""

    data: str
    n: int
    models: tuple[EvaluatedModel, ...]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EvaluationOptions:
    """Attributes:
    split: the split folder of the data, where it has several.
    limit: how many photos, evenly spread; None for all.
    threads: LiteRT's.
    """

    split: str | None = None
    limit: int | None = None
    threads: int = 2


def evaluate(
    models: Sequence[str],
    data: Path,
    options: EvaluationOptions = EvaluationOptions(),  # noqa: B008 (frozen)
    source_options: SourceOptions = SourceOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
) -> Evaluation:
    """Measures top-1 and top-5 of one or more networks on labelled photos.

    Args:
        models: .tflite files, bundles, or float sources; the first is what the others are compared with.
        data: a labelled folder or zip.

    Raises:
        EdgenetError: the photos have no labels, or the classes do not fit a network's outputs.
    """
    photos = open_photos(data, split=options.split)
    if any(label is None for label in photos.labels):
        raise EdgenetError(f"the photos in {data} have no labels", "give class folders or a labels.csv")
    scorers = [open_scorer(model, source_options, options.threads, progress) for model in models]
    ranked, kept = _rank_all(scorers, photos, options, progress)
    figures = [_figures(scorer, ranks, ranked[0], kept, photos) for scorer, ranks in zip(scorers, ranked, strict=True)]
    return Evaluation(str(data), len(kept.labels), tuple(figures), kept.skipped)


@dataclass(frozen=True)
class _Kept:
    labels: tuple[int, ...]
    skipped: tuple[tuple[str, str], ...]


def _rank_all(
    scorers: list[Scorer], photos: PhotoSet, options: EvaluationOptions, progress: Progress
) -> tuple[list[NDArray[np.intp]], _Kept]:
    """The best classes of every network on every photo, [n, up to 5]; batch by batch, so that memory stays small."""
    ranks: list[list[NDArray[np.intp]]] = [[] for _ in scorers]
    labels: list[int] = []
    skipped: list[tuple[str, str]] = []
    by_size = {scorer.size for scorer in scorers}
    streams = {size: load_batches(photos, size, limit=options.limit) for size in by_size}
    total = min(len(photos), options.limit or len(photos))
    while batches := {size: batch for size, stream in streams.items() if (batch := next(stream, None)) is not None}:
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


def _figures(
    scorer: Scorer, ranks: NDArray[np.intp], first: NDArray[np.intp], kept: _Kept, photos: PhotoSet
) -> EvaluatedModel:
    outputs = outputs_for(photos.class_names, set(kept.labels), scorer.labels, photos.origin)
    truth = np.array([outputs[label] for label in kept.labels])[:, None]
    hits = ranks == truth
    return EvaluatedModel(
        model=scorer.model,
        precision=scorer.precision,
        runtime=scorer.runtime,
        top1=_percent(hits[:, 0]),
        top5=_percent(hits.any(axis=1)) if len(scorer.labels) >= TOP else None,
        agreement=_percent(ranks[:, 0] == first[:, 0]),
    )


def _percent(hits: NDArray[np.bool_]) -> float:
    return 100 * float(hits.mean())
