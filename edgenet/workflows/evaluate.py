"""The verb `evaluate`: measures how often networks are right on labelled photos, and how often they agree."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgenet_device.classifier import NOTHING_KNOWN
from numpy.typing import NDArray

from edgenet.accuracy import ClassLoss, Interval, Paired, compare, losing_classes, verdict, wilson
from edgenet.data.file_account import FileAccount
from edgenet.data.labels import matching_outputs, outputs_for
from edgenet.data.loading import load_batches
from edgenet.data.photos import PhotoSet, open_photos, require_labels, two_labels_warning
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent
from edgenet.quantize.quantization_errors import PhotoErrors
from edgenet.teaching.unknown import background_class
from edgenet.workflows.arguments import checked
from edgenet.workflows.opened_model import is_finished
from edgenet.workflows.scoring import Scorer, errors_against_first, open_scorer, says_no_normalization
from edgenet.workflows.sources import SourceOptions, options_for

TOP = 5


@dataclass(frozen=True)
class EvaluatedModel:
    """One network's accuracy.

    In a network with an output "nothing I know", top-1, top-5 and agreement are those among its other classes.

    Attributes:
        top1: percent of the photos whose best score is the right class; `top1_interval` is its 95 %
            confidence interval.
        top5: percent of the photos whose right class is among the best five scores; None for fewer than five
            classes.
        agreement: percent of the photos on which its best class is the same as the first network's. Classes
            are matched by label, so the networks may order their outputs differently.
        against_first: paired comparison with the first network; None for the first network.
        verdict: the conclusion from `against_first` in words; None for the first network.
        unknown: percent of the photos that it calls "nothing I know"; None without that output.
        false_alarms: percent of the photos of other things (the folder none, background, unknown or nothing) that it
            calls a known class; None without such photos or that output.
        kl: mean Kullback-Leibler divergence of its probabilities from the first network's, nats; None for the first
            network, and where the two have other classes or give no logits.
        worst_db: 5th percentile over the photos of the SQNR of a photo's logits against the first network's, dB; None
            where `kl` is.
        saturated: number of photos whose highest logit is the highest that int8 can hold, so that it may be cut off;
            None where `kl` is, and for float logits.
        losing: the classes in which it loses most right answers against the first network, the worst first.
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
    unknown: float | None = None
    false_alarms: float | None = None
    kl: float | None = None
    worst_db: float | None = None
    saturated: int | None = None
    losing: tuple[ClassLoss, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The accuracy of networks on the same `n` photos; of equal scores the lower class index ranks first.

    Attributes:
        data: the path of the photos.
        n: number of photos, without those of other things.
        models: the accuracy of each network.
        skipped: (name, reason) of the photos that could not be read.
        account: what became of every file of the data.
    """

    data: str
    n: int
    models: tuple[EvaluatedModel, ...]
    skipped: tuple[tuple[str, str], ...]
    account: FileAccount


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


@checked
def evaluate(
    models: str | Path | Sequence[str | Path],
    data: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    threads: int = 2,
    resolution: int | None = None,
    normalization: str | None = None,
    labels: str | Path | Sequence[str] | None = None,
    input_shape: Sequence[int] | None = None,
    output: str | None = None,
    architecture: str | None = None,
    progress: Progress = silent,
) -> Evaluation:
    """Measure top-1 and top-5 of one or more networks on labelled photos.

    >>> result = edgenet.evaluate(["small.safetensors", "small.tflite"], "labelled")
    >>> result.n, [model.precision for model in result.models]
    (12, ['float32', 'int8'])

    Args:
        models: .tflite files, bundles, or float sources as `convert` takes them; the others are compared with
            the first.
        data: folder or zip of labelled photos: class folders, or photos with a labels.csv.
        split: the split folder to use, such as "val", if the data has several.
        limit: use at most this many photos, evenly spread over the data.
        threads: threads of LiteRT.
        resolution: width and height of the input, pixels, for float sources that allow several.
        normalization: of .onnx sources and other makers' .tflite files, as `convert` takes it.
        labels: class names in the order of the outputs, for networks that carry none: a list, or a text file.
        input_shape, output: of .onnx sources that leave their input's shape open or have several outputs, as `convert`
            takes them; Keras models take an input_shape that ends in 3 or 1.
        architecture: of checkpoints of torchvision or timm, as `convert` takes it.
        progress: called with each stage's name, the amount done, and the total.

    Raises:
        EdgenetError: the photos have no labels, the classes do not match a network's outputs, or an option
            applies to none of the models.
        TypeError: an argument has the wrong type.
    """
    names = [str(model) for model in ([models] if isinstance(models, str | os.PathLike) else models)]
    if not names:
        raise EdgenetError("models is an empty list", "give at least one network")
    shape = tuple(input_shape) if input_shape else None
    options, source_options = (
        EvaluationOptions(split, limit, threads),
        SourceOptions(resolution, normalization, labels, shape, output, architecture),
    )
    check_options(names, source_options)
    photos = open_labelled(Path(data), split)  # first, to report a wrong folder early
    scorers = [open_scorer(name, source_options, threads, progress) for name in names]
    return evaluate_scorers(scorers, photos, options, progress)


def open_labelled(data: Path, split: str | None = None) -> PhotoSet:
    """Open photos that each have a class.

    Raises:
        EdgenetError: some photos have no class; see also `open_photos` and `require_labels`.
    """
    photos = open_photos(data, split=split)
    require_labels(photos)
    return photos


def evaluate_scorers(
    scorers: Sequence[Scorer], photos: PhotoSet, options: EvaluationOptions, progress: Progress = silent
) -> Evaluation:
    """Evaluate opened networks on opened photos; ignore `options.split`, as `photos` is already one split."""
    other = _class_of_other_things(scorers, photos)
    used = {label for label in photos.labels if label is not None} - {other}
    if not used:
        raise EdgenetError(f"all photos in {photos.origin} show other things", "add photos of the classes")
    outputs = [outputs_for(photos.class_names, used, scorer.labels, photos.origin) for scorer in scorers]
    seen, errors, kept = _rank_all(scorers, photos, options, progress)
    known = np.array([label != other for label in kept.labels], bool)
    ranked = [ranks[known, 1:] for ranks in seen]
    labels = [label for label in kept.labels if label != other]
    hits = [ranks == _truth(labels, own)[:, None] for ranks, own in zip(ranked, outputs, strict=True)]
    figures = [
        _figures(scorer, hit, ranks[:, 0] == _first_answers(scorers[0], ranked[0], scorer))
        for scorer, hit, ranks in zip(scorers, hits, ranked, strict=True)
    ]
    figures = [_with_unknown(row, ranks[:, 0], known) for row, ranks in zip(figures, seen, strict=True)]
    named = labels, photos.class_names
    figures[1:] = [
        _with_logits(_compared(row, hits[0], hit, *named), parts, known)
        for row, hit, parts in zip(figures[1:], hits[1:], errors[1:], strict=True)
    ]
    return Evaluation(photos.origin, len(labels), tuple(figures), kept.skipped, _account(photos, kept))


def _class_of_other_things(scorers: Sequence[Scorer], photos: PhotoSet) -> int | None:
    """Return the class index of the photos of other things, if a network has an output for such things."""
    if all(NOTHING_KNOWN not in scorer.labels for scorer in scorers):
        return None
    name = background_class(photos.class_names)
    return None if name is None else photos.class_names.index(name)


def _with_unknown(row: EvaluatedModel, unknown: NDArray[np.intp], known: NDArray[np.bool_]) -> EvaluatedModel:
    """Add how often the network says "nothing I know": `unknown` is 1 or 0 for every photo, or -1 if it cannot."""
    if (unknown < 0).any():
        return row
    alarms = None if known.all() else 100 * float(np.mean(unknown[~known] == 0))
    return replace(row, unknown=100 * float(np.mean(unknown[known])), false_alarms=alarms)


def _account(photos: PhotoSet, kept: _Kept) -> FileAccount:
    account = photos.account(len(kept.labels), kept.skipped)
    twice = two_labels_warning(kept.names, kept.labels, kept.contents, photos.class_names)
    return replace(account, warnings=(*account.warnings, twice)) if twice else account


@dataclass(frozen=True)
class _Kept:
    labels: tuple[int, ...]
    names: tuple[str, ...]
    contents: tuple[bytes, ...]
    skipped: tuple[tuple[str, str], ...]


def _rank_all(
    scorers: Sequence[Scorer], photos: PhotoSet, options: EvaluationOptions, progress: Progress
) -> tuple[list[NDArray[np.intp]], list[list[PhotoErrors]], _Kept]:
    """Return each network's answers on every photo, see `_answers`, and its logits' errors, see `errors_against_first`.

    The photos go through the networks in batches, to save memory.
    """
    ranks: list[list[NDArray[np.intp]]] = [[] for _ in scorers]
    errors: list[list[PhotoErrors]] = [[] for _ in scorers]
    labels: list[int] = []
    names: list[str] = []
    contents: list[bytes] = []
    skipped: list[tuple[str, str]] = []
    by_size = {scorer.size for scorer in scorers}
    streams = {size: load_batches(photos, size, limit=options.limit) for size in by_size}
    total = min(len(photos), options.limit or len(photos))
    while batches := {
        size: batch for size, stream in streams.items() if (batch := next(stream, None)) is not None
    }:
        images = [batches[scorer.size].images for scorer in scorers]
        scores = [scorer.score(own) for scorer, own in zip(scorers, images, strict=True)]
        for scorer, own, batch_ranks in zip(scorers, scores, ranks, strict=True):
            batch_ranks.append(_answers(scorer, own))
        for batch_errors, found in zip(errors, errors_against_first(scorers, scores, images), strict=True):
            batch_errors += found
        any_batch = next(iter(batches.values()))
        labels += [label for label in any_batch.labels if label is not None]
        names += any_batch.names
        contents += any_batch.contents
        skipped += any_batch.skipped
        progress("classifying photos", len(labels) + len(skipped), total)
    kept = _Kept(tuple(labels), tuple(names), tuple(contents), tuple(skipped))
    return [np.concatenate(batch_ranks) for batch_ranks in ranks], errors, kept


def _with_logits(row: EvaluatedModel, parts: list[PhotoErrors], known: NDArray[np.bool_]) -> EvaluatedModel:
    """Add the errors of the network's logits on the known photos, if they could be compared."""
    if not parts:
        return row
    found = PhotoErrors.joined(parts).summary(known)
    return replace(row, kl=found.kl, worst_db=found.worst_db, saturated=found.saturated)


def _answers(scorer: Scorer, scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return [n, 1 + up to 5]: whether the best output is "nothing I know" (-1 without it), then the best classes."""
    own = scorer.labels.index(NOTHING_KNOWN) if NOTHING_KNOWN in scorer.labels else None
    shown = min(TOP, len(scorer.labels) - (own is not None))
    if not len(scores):
        return np.empty((0, 1 + shown), np.intp)
    if own is None:
        unknown = np.full(len(scores), -1, np.intp)
    else:
        unknown = (scores.argmax(axis=1) == own).astype(np.intp)
        scores = np.where(np.arange(scores.shape[1]) == own, -np.inf, scores)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :shown]
    return np.concatenate([unknown[:, None], best], axis=1)


def _truth(labels: Sequence[int], outputs: Mapping[int, int]) -> NDArray[np.intp]:
    """Return the index of the right output for every photo [n]."""
    return np.array([outputs[label] for label in labels], np.intp)


def _first_answers(first: Scorer, ranks: NDArray[np.intp], scorer: Scorer) -> NDArray[np.intp]:
    """Return the first network's best classes as output indices of `scorer` [n]; -1 for a class it lacks."""
    outputs = [-1 if output is None else output for output in matching_outputs(first.labels, scorer.labels)]
    return np.array(outputs, np.intp)[ranks[:, 0]]


def _figures(scorer: Scorer, hits: NDArray[np.bool_], agrees: NDArray[np.bool_]) -> EvaluatedModel:
    """Compute the accuracy of one network.

    Args:
        hits: whether its best, second best, ... class is right [n, up to 5].
        agrees: whether its best class is the same as the first network's [n].
    """
    n, first, best_five = len(hits), int(hits[:, 0].sum()), int(hits.any(axis=1).sum())
    ranks_five = len(scorer.labels) - (NOTHING_KNOWN in scorer.labels) >= TOP
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


def _compared(
    row: EvaluatedModel,
    first: NDArray[np.bool_],
    hits: NDArray[np.bool_],
    labels: Sequence[int],
    names: Sequence[str],
) -> EvaluatedModel:
    paired = compare(first[:, 0], hits[:, 0])
    losing = losing_classes(first[:, 0], hits[:, 0], labels, names)
    return replace(row, against_first=paired, verdict=verdict(paired), losing=losing)


def check_options(models: Sequence[str], options: SourceOptions) -> None:
    """Check that each option applies to at least one of the models.

    Raises:
        EdgenetError: an option applies to none of the models; the message names the option.
    """
    sources = [model for model in models if not is_finished(model)]
    taken = [options_for(source, options) for source in sources]
    wanted = any(option.normalization for option in taken) or any(map(says_no_normalization, models))
    if options.normalization is not None and not wanted:
        raise EdgenetError(
            "--normalization is for .onnx models and other makers' .tflite files, and none of the models is one",
            "leave out --normalization",
        )
    if options.architecture is not None and not any(option.architecture for option in taken):
        raise EdgenetError(
            "--architecture is for checkpoints of torchvision and timm, and none of the models is one",
            "leave out --architecture",
        )
    for name, kinds in (("input_shape", ".onnx and Keras files"), ("output", ".onnx files")):
        if getattr(options, name) is not None and not any(getattr(option, name) for option in taken):
            option = f"--{name.replace('_', '-')}"
            raise EdgenetError(
                f"{option} is for {kinds}, and none of the models is one", f"leave out {option}"
            )
    if options.resolution is not None and not any(option.resolution for option in taken):
        raise EdgenetError("all of the models have a fixed resolution", "leave out --resolution")
