"""The files that `teach` leaves: the checkpoint, the bundle with the int8 file, and the page."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from edgenet_device.classifier import NOTHING_KNOWN
from edgenet_device.model_file import open_model
from numpy.typing import NDArray

from edgenet.accuracy import Interval, Paired, grouped_interval
from edgenet.bundle import write_bundle
from edgenet.data.groups import Groups
from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.figures.teaching_facts import write_report_json
from edgenet.figures.teaching_page import (
    Int8Beside,
    JudgedAccuracy,
    TeachingReport,
    UnknownFigures,
    photo_facts,
    photo_picture,
    write_report,
)
from edgenet.manifest import Accuracy, UnknownAnswer
from edgenet.progress import Log, Progress, StageProgress, in_stage
from edgenet.teaching.features import PhotoFeatures, extract_features
from edgenet.teaching.finetuning import features_and_logits, head_of, with_head
from edgenet.teaching.label_errors import find_label_errors
from edgenet.teaching.learning_curve import learning_curve
from edgenet.teaching.mixture import FAMILIAR
from edgenet.teaching.unknown import KEEP, JudgedPhotos, Unknown, background_photos, calibrate_unknown
from edgenet.teaching.unknown_after_tuning import SeenByNetwork, calibrate_after_tuning
from edgenet.tflite.metadata import read_facts
from edgenet.workflows.convert import convert
from edgenet.workflows.evaluate import EvaluationOptions, evaluate_scorers
from edgenet.workflows.scoring import float_scorer, lite_scorer
from edgenet.workflows.sources import SourceOptions, open_source
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint

QUICK, THOROUGH = "fast", "balanced"
"""The recipes of quantization: the second is taken if there is time for it, or if the first loses more than MOST_LOST
points. On 413 photos, 80 of which had calibrated MobileNetV2 at 96 pixels, the second gave the float network's answer
in 96.1 and 97.6 % (two classifiers), the first in 95.2 and 95.9 %, in 14 s of a processor instead of 4."""
THOROUGH_S = 60.0
"""There is time for the second recipe if so many seconds are left."""
MOST_LOST = 0.5
REPORT_FILE = "report.html"
MOST_SEEN = 500
"""At most this many of the photos that a fine-tuned network was trained with say how known they look to it."""


@dataclass(frozen=True)
class Judged:
    """The accuracy of the float network on photos that were held out: only the choice of the resolution saw them.

    Attributes:
        top1: percent; `interval` is its 95 % confidence interval, which counts scenes instead of photos.
        photos: number of photos.
        scenes: number of scenes that they show.
        how: how these photos were kept apart, such as "each held out in one of 3 parts".
    """

    top1: float
    interval: Interval
    photos: int
    scenes: int
    how: str


@dataclass(frozen=True)
class Int8File:
    """The int8 file beside the float network, on photos that neither was trained or calibrated with.

    Attributes:
        recipe: the recipe of the quantization.
        size_bytes: size of the .tflite.
        float_top1, int8_top1: percent.
        photos: number of photos.
        against_float: paired comparison with the float network.
        verdict: the comparison in words.
    """

    recipe: str
    size_bytes: int
    float_top1: float
    int8_top1: float
    photos: int
    against_float: Paired
    verdict: str


@dataclass(frozen=True)
class Taught:
    """The chosen network and what photos that were held out say about it.

    Attributes:
        network: the network, trained with all photos.
        features: the photos and their features by the frozen network.
        groups: their scenes.
        held_out_logits: their logits by networks that were trained without them, float32 [n, classes].
        folds: the fold of each photo, int64 [n]; -1 for photos that are not judged.
        strength: the strength of the head's penalty.
        pretrained: the frozen network, with the last layer that it was pretrained with.
        familiar: how familiar the photos are to it; see `familiarity`.
        networks: for each fold, a network that was trained in the same way without its photos. Of a network whose
            features are frozen, only that of fold 0: all have the same features.
        fine_tuned: whether the features are fine-tuned.
        validation: the user's own photos to judge with; None if there are none.
        judged: the accuracy.
    """

    network: LoadedNetwork
    features: PhotoFeatures
    groups: Groups
    held_out_logits: NDArray[np.float32]
    folds: NDArray[np.int64]
    strength: float
    pretrained: LoadedNetwork
    familiar: float
    networks: tuple[LoadedNetwork, ...]
    fine_tuned: bool
    validation: PhotoSet | None
    judged: Judged

    @property
    def classes(self) -> tuple[str, ...]:
        return self.features.photos.class_names


@dataclass(frozen=True)
class TaughtFiles:
    """The files, and what is known about the int8 file."""

    bundle: Path
    report: Path
    int8: Int8File
    unknown: UnknownAnswer | None


def judged_by(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    how: str,
    trained_share: float = 1.0,
) -> Judged:
    """Return the accuracy of photos with these logits [n, classes]; see `Judged` and `grouped_interval`."""
    right = logits.argmax(axis=1) == labels
    interval = grouped_interval(right, groups, trained_share)
    return Judged(100 * float(right.mean()), interval, len(right), len(np.unique(groups)), how)


def write_files(
    taught: Taught,
    out: Path,
    background: PhotoSet | None,
    unknown: bool,
    seconds_left: float,
    choices: Sequence[str],
    warnings: Sequence[str],
    progress: Progress,
    log: Log,
) -> TaughtFiles:
    """Add the answer for unknown things, quantize, judge the int8 file, and write everything.

    Args:
        taught: the network and the photos.
        out: the folder.
        background: the user's photos of other things.
        unknown: whether to add the answer for unknown things.
        seconds_left: the time that is left, seconds; see `THOROUGH_S`.
        choices: what was chosen and why, one sentence each; for the page.
        warnings: what the user should know, one sentence each; for the page.
        progress: called with each stage's name, the amount done, and the total.
        log: called with a line for each finding.

    Raises:
        EdgenetError: a file cannot be written.
    """
    network, answer, temperature = taught.network, None, 1.0
    if unknown:
        found, words = _with_unknown(taught, background, progress)
        labels = (*taught.classes, NOTHING_KNOWN)
        network, temperature = with_head(network, found.head, labels, network.origin), found.temperature
        alarms = None if found.false_alarms is None else 100 * found.false_alarms
        answer = UnknownAnswer(NOTHING_KNOWN, 100 * found.kept, alarms, found.auroc, words)
    checkpoint = out / f"{network.variant.name}.safetensors"
    save_checkpoint(checkpoint, network)
    bundle, report = out / f"{network.variant.name}.edgenet", out / REPORT_FILE
    with tempfile.TemporaryDirectory() as folder:
        recipe = THOROUGH if seconds_left > THOROUGH_S else QUICK
        int8 = _judge_int8(taught, checkpoint, Path(folder), recipe, progress)
        if recipe == QUICK and int8.float_top1 - int8.int8_top1 > MOST_LOST:
            log(
                f"int8 by the recipe {QUICK} loses {int8.float_top1 - int8.int8_top1:.2f} points: taking {THOROUGH}"
            )
            # It is taken as it is: the better of two on the photos that judge would look better than it is.
            int8 = _judge_int8(taught, checkpoint, Path(folder), THOROUGH, progress)
        photos = taught.features.photos
        model = _int8_of(checkpoint, Path(folder) / f"{int8.recipe}.tflite", photos, int8.recipe, progress)
        opened = open_model(model)
    int8 = replace(int8, size_bytes=len(opened.data))
    facts = read_facts(opened.data, str(model))
    assert facts is not None  # `convert` always writes them
    accuracy = Accuracy(round(int8.float_top1, 4), round(int8.int8_top1, 4), int8.photos, "photos held out")
    write_bundle(bundle, opened.data, opened.labels, replace(facts, accuracy=accuracy, unknown=answer))
    page = _page(taught, int8, answer, bundle, choices, warnings, temperature)
    write_report(report, page, photo_picture(taught.features.photos))
    write_report_json(report.with_suffix(".json"), page)
    return TaughtFiles(bundle, report, int8, answer)


def _with_unknown(taught: Taught, background: PhotoSet | None, progress: Progress) -> tuple[Unknown, str]:
    """Return the head with the answer for unknown things, and words for the photos of other things."""
    own = None if background is None else _readable(background)
    others, more = (background_photos(), None) if own is None else (own, background_photos())
    kind = "photos that come with edgenet" if own is None else "photos of your own"
    words = f"{len(others)} {kind}"
    head, stage = head_of(taught.network.module), in_stage(progress, "looking at other things")
    if taught.fine_tuned:
        seen = _seen(taught, others, more, stage)
        users_own = own is not None
        return calibrate_after_tuning(head, seen[:-1], seen[-1], KEEP, users_own=users_own), words
    rows = taught.folds >= 0
    known = (taught.features.plain[rows], taught.held_out_logits[rows], taught.features.labels[rows])
    values, further = (
        None if photos is None else extract_features(photos, taught.network, stage).plain
        for photos in (others, more)
    )
    assert values is not None
    pretrained = None
    # With hand signs, which are less familiar, what the pretrained classes say did not help.
    if own is None and taught.familiar > FAMILIAR:
        pretrained = head_of(taught.pretrained.module)
    found = calibrate_unknown(
        head,
        *known,
        values,
        KEEP,
        folds=taught.folds[rows],
        more_background=further,
        users_own=own is not None,
        pretrained=pretrained,
    )
    return found, words


def _seen(
    taught: Taught, others: PhotoSet, more: PhotoSet | None, progress: StageProgress
) -> list[SeenByNetwork]:
    """Return what the network of each fold, and last the final one, makes of all photos."""
    photos, labels = taught.features.photos, taught.features.labels
    names = [*np.unique(taught.folds[taught.folds >= 0]), None]
    seen = []
    for done, (fold, network) in enumerate(zip(names, (*taught.networks, taught.network), strict=True)):
        out = np.zeros(len(labels), np.bool_) if fold is None else taught.folds == fold
        trained = np.flatnonzero(~out)
        trained = trained[np.linspace(0, len(trained) - 1, min(len(trained), MOST_SEEN)).astype(int)]
        parts = (photos.take(trained.tolist()), photos.take(np.flatnonzero(out).tolist()), others, more)
        views = [_view(network, part) for part in parts]
        seen.append(SeenByNetwork(views[0], views[1], views[2], views[3], labels[out]))
        progress(done + 1, len(names))
    return seen


def _view(network: LoadedNetwork, photos: PhotoSet | None) -> JudgedPhotos:
    if photos is None or not len(photos):
        layer = network.module.classifier.weight
        return JudgedPhotos(
            np.zeros((0, layer.shape[1]), np.float32), np.zeros((0, layer.shape[0]), np.float32)
        )
    return JudgedPhotos(*features_and_logits(network, photos))


def _readable(photos: PhotoSet) -> PhotoSet:
    """Return the photos that can be read."""
    return photos.take([index for index in range(len(photos)) if _can_be_read(photos, index)])


def _can_be_read(photos: PhotoSet, index: int) -> bool:
    try:
        photos.read(index)
    except EdgenetError:
        return False
    return True


def _int8_of(source: Path, out: Path, photos: PhotoSet, recipe: str, progress: Progress) -> Path:
    """Quantize a checkpoint, calibrated with these photos; reuse the file if it is there."""
    if not out.is_file():
        convert(source, out, calibration=photos, recipe=recipe, progress=progress)
    return out


def _judge_int8(taught: Taught, checkpoint: Path, folder: Path, recipe: str, progress: Progress) -> Int8File:
    """Compare float and int8 on photos that neither was trained or calibrated with.

    Without a validation folder these are the photos of fold 0, and the network was trained without them.
    """
    photos, source, calibration = taught.validation, checkpoint, taught.features.photos
    model = folder / f"{recipe}.tflite"
    if photos is None:
        source, model = folder / "first.safetensors", folder / f"first.{recipe}.tflite"
        save_checkpoint(source, taught.networks[0])
        photos = calibration.take(np.flatnonzero(taught.folds == 0).tolist())
        calibration = calibration.take(np.flatnonzero(taught.folds != 0).tolist())
    _int8_of(source, model, calibration, recipe, progress)
    scorers = [
        float_scorer("float", open_source(str(source), SourceOptions(), progress)),
        lite_scorer("int8", open_model(model), EvaluationOptions().threads),
    ]
    rows = evaluate_scorers(scorers, photos, EvaluationOptions(), progress)
    beside = rows.models[1]
    assert beside.against_first is not None
    assert beside.verdict is not None
    return Int8File(
        recipe,
        model.stat().st_size,
        rows.models[0].top1,
        beside.top1,
        rows.n,
        beside.against_first,
        beside.verdict,
    )


def _page(
    taught: Taught,
    int8: Int8File,
    answer: UnknownAnswer | None,
    bundle: Path,
    choices: Sequence[str],
    warnings: Sequence[str],
    temperature: float,
) -> TeachingReport:
    """Return the report; the file's scores are those of the held-out logits divided by the temperature."""
    features, judged = taught.features, taught.judged
    rows = np.flatnonzero(taught.folds >= 0)
    errors = find_label_errors(taught.held_out_logits[rows], features.labels[rows])
    curve = learning_curve(
        features.values, features.labels, taught.groups.ids, len(taught.classes), taught.strength
    )
    unknown = None
    if answer is not None and answer.false_alarms is not None and answer.auroc is not None:
        unknown = UnknownFigures(
            answer.kept, answer.false_alarms, answer.auroc, answer.background, answer.label
        )
    return TeachingReport(
        title=f"What {taught.network.variant.name} learnt",
        data=features.photos.origin,
        movable=Path(features.photos.origin).is_dir(),
        variant=taught.network.variant.name,
        choices=tuple(choices),
        class_names=taught.classes,
        photos=photo_facts(
            features.photos.paths,
            features.contents,
            features.labels,
            taught.groups.ids,
            taught.held_out_logits / np.float32(temperature),
            taught.folds >= 0,
        ),
        accuracy=JudgedAccuracy(judged.top1, judged.interval, judged.photos, judged.scenes, judged.how),
        label_errors=tuple(replace(error, index=int(rows[error.index])) for error in errors),
        duplicates=taught.groups.shared(),
        curve=curve if curve.points else None,
        int8=Int8Beside(
            bundle.name, int8.size_bytes, int8.float_top1, int8.int8_top1, int8.photos, int8.verdict
        ),
        unknown=unknown,
        warnings=tuple(warnings),
        skipped=features.skipped,
    )
