"""The stages of `teach`: the head at the best resolution, and fine-tuning as far as it helps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from edgenet.accuracy import grouped_interval
from edgenet.data.groups import Groups
from edgenet.data.photos import PhotoSet
from edgenet.data.splits import grouped_folds
from edgenet.errors import EdgenetError
from edgenet.progress import Log, Progress, in_stage
from edgenet.teaching.features import PhotoFeatures, extract_features
from edgenet.teaching.finetuning import (
    LEAST_STEPS,
    FineTuning,
    blend,
    fine_tune,
    wanted_steps,
    with_head,
)
from edgenet.teaching.head import CrossValidated, cross_validated, fit_head
from edgenet.teaching.mixture import (
    FAMILIAR,
    FOLDS,
    SHARES,
    STRANGE,
    CrossFit,
    cross_fit,
    familiarity,
    worthwhile,
)
from edgenet.teaching.unknown import background_photos
from edgenet.training.machine import memory_budget
from edgenet.training.photos import TrainingPhotos, read_photos
from edgenet.training.processes import StopRequest, TrainingStopped
from edgenet.training.recipe import Augmentation
from edgenet.zoo.checkpoint import LoadedNetwork

HEAD_FOLDS = 5
COMPARED_PHOTOS = 300
"""Resolutions are compared on at most this many photos."""
KEPT_BACK = 0.2
"""Share of the time that fine-tuning leaves for quantization and the page."""
_TRIAL_STEPS = 3


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    Attributes:
        finetune, unknown, no_flip, seed, device: see `teach`.
        began, deadline: when the training began and shall end, seconds of `time.perf_counter`.
    """

    finetune: bool
    unknown: bool
    no_flip: bool
    seed: int
    device: torch.device
    began: float
    deadline: float


@dataclass
class Course:
    """What stays the same in all stages, and what they have left in the folder so far.

    Attributes:
        out: the folder.
        options: what the user asked for.
        request: whether a signal asked the training to stop.
        shown: called with each stage's name, the amount done, and the total.
        log: called with a line for each finding.
        holds: the best classifier in the folder, in words; None before the first.
    """

    out: Path
    options: Options
    request: StopRequest
    shown: Progress
    log: Log
    holds: str | None = None

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Show the progress of a stage, and stop there if a signal came.

        Raises:
            TrainingStopped: a signal came.
        """
        self.shown(stage, done, total)
        self.check_stop(stage)

    def check_stop(self, stage: str) -> None:
        """Raise TrainingStopped if a signal came, and say what is in the folder."""
        if self.request.asked:
            left = (
                f"{self.out} holds {self.holds}" if self.holds else f"nothing was written to {self.out} yet"
            )
            raise TrainingStopped(
                f"stopped at the stage: {stage}; {left}",
                "run the same command again to go on; features that are computed already are kept",
            )


@dataclass(frozen=True)
class Head:
    """A head on the frozen features at one resolution.

    Attributes:
        network, features: the frozen network, and the features of the photos by it.
        folds: the fold of each photo, int64 [n].
        found: what the folds say about the head.
        by_scene: whether no scene is in two folds; False if each class shows one scene only.
    """

    network: LoadedNetwork
    features: PhotoFeatures
    folds: NDArray[np.int64]
    found: CrossValidated
    by_scene: bool

    def right(self) -> NDArray[np.bool_]:
        """Return whether each judged photo was right when it was held out."""
        judged = self.folds >= 0
        return self.found.logits[judged].argmax(axis=1) == self.features.labels[judged]

    def taught(self, classes: Sequence[str], origin: str) -> LoadedNetwork:
        """Return the network with the head fitted to all photos."""
        features = self.features
        head = fit_head(features.values, features.labels, len(classes), self.found.strength)
        return with_head(self.network, head, classes, origin)

    def without_first_fold(self) -> LoadedNetwork:
        """Return the network with the head fitted without the photos of fold 0."""
        rows, features = self.folds != 0, self.features
        classes = features.photos.class_names
        head = fit_head(features.values[rows], features.labels[rows], len(classes), self.found.strength)
        return with_head(self.network, head, classes, self.network.origin)


def features_at(course: Course, photos: PhotoSet, network: LoadedNetwork) -> PhotoFeatures:
    """Return the features of the photos; with --no-flip those of the mirror images are left out."""
    features = extract_features(photos, network, in_stage(course.progress, "computing features"))
    return replace(features, values=features.values[:, :1]) if course.options.no_flip else features


def judge_head(
    network: LoadedNetwork, features: PhotoFeatures, groups: Groups, classes: Sequence[str], seed: int
) -> Head:
    """Choose the strength of the head with photos held out in turns.

    Raises:
        EdgenetError: no class has two photos, so that none can be held out.
    """
    labels, by_scene = features.labels, True
    folds = grouped_folds(labels, groups.ids, HEAD_FOLDS, seed)
    if folds.max() < 1:
        # Every class shows one scene. Its photos can choose the strength, and say nothing about other scenes.
        folds, by_scene = grouped_folds(labels, np.arange(len(labels)), HEAD_FOLDS, seed), False
    if folds.max() < 1:
        raise EdgenetError(
            "no class has two different photos, so none can be held out to judge the rest by",
            "add photos; ten of each class are a beginning",
        )
    found = cross_validated(features.values, labels, folds, len(classes))
    return Head(network, features, folds, found, by_scene)


def head_words(head: Head, groups: Groups) -> str:
    right = head.right()
    interval = grouped_interval(right, groups.ids[head.folds >= 0], 1 - 1 / (int(head.folds.max()) + 1))
    return (
        f"{100 * right.mean():.1f} % of {len(right)} photos right, each held out in turn "
        f"(95 % interval {interval.low:.1f} to {interval.high:.1f} %); {head.network.variant.name}, a linear head"
    )


def best_resolution(
    course: Course, networks: Sequence[LoadedNetwork], first: Head, groups: Groups
) -> tuple[Head, str]:
    """Return the head at the smallest resolution that is as good as the best, and why.

    Resolutions count as equally good if they differ by less than one standard error of the share of right photos.
    """
    seed, classes = course.options.seed, first.features.photos.class_names
    some = _some(first.features, groups, seed)
    heads = {
        networks[0].variant.resolution: judge_head(
            networks[0], first.features.take(some), _of(groups, some), classes, seed
        )
    }
    for network in networks[1:]:
        features = features_at(course, first.features.photos.take(some.tolist()), network)
        if len(features) != len(some):  # a photo vanished meanwhile
            continue
        heads[network.variant.resolution] = judge_head(network, features, _of(groups, some), classes, seed)
        course.check_stop("comparing resolutions")
    shares = {size: head.right().mean() for size, head in heads.items()}
    best = max(shares.values())
    slack = np.sqrt(best * (1 - best) / len(next(iter(heads.values())).right()))
    size = min(size for size, share in shares.items() if share >= best - slack)
    tried = ", ".join(f"{100 * share:.1f} % at {one} px" for one, share in sorted(shares.items()))
    sentence = (
        f"resolution {size} px: the smallest that is as good as the best on {len(some)} photos ({tried})"
    )
    if size == networks[0].variant.resolution:
        return first, sentence
    network = heads[size].network
    features = features_at(course, first.features.photos, network)
    if len(features) != len(first.features):
        raise EdgenetError("photos vanished during the training", "keep the photos in place and start again")
    return judge_head(network, features, groups, classes, seed), sentence


def _some(features: PhotoFeatures, groups: Groups, seed: int) -> NDArray[np.int64]:
    """Return photos of whole groups, up to COMPARED_PHOTOS, of every class about the same share."""
    if len(features) <= COMPARED_PHOTOS:
        return np.arange(len(features))
    parts = -(-len(features) // COMPARED_PHOTOS)
    folds = grouped_folds(features.labels, groups.ids, parts, seed)
    return np.flatnonzero(folds <= 0)  # fold -1 belongs to every part


def _of(groups: Groups, rows: NDArray[np.int64]) -> Groups:
    return replace(groups, ids=groups.ids[rows])


def familiarity_of(course: Course, head: Head) -> float:
    """Return how familiar the photos are to the frozen network, beside the everyday photos that come with edgenet."""
    stage = in_stage(course.progress, "looking at everyday photos")
    everyday = extract_features(background_photos(), head.network, stage)
    return familiarity(head.network, head.features.plain, everyday.plain)


def fine_tuning(
    course: Course, head: Head, groups: Groups, classes: Sequence[str], familiar: float
) -> tuple[CrossFit | None, str]:
    """Return how far fine-tuning helps, or None if it was not tried; and why.

    Args:
        course: what stays the same in all stages.
        head: the head on the frozen features.
        groups: the scenes of the photos.
        classes: the class names.
        familiar: how familiar the photos are to the frozen network; see `familiarity`.
    """
    options = course.options
    if not options.finetune:
        return None, "no fine-tuning, as asked"
    if not head.by_scene:
        return None, "no fine-tuning: each class shows one scene only, so nothing can judge it"
    # Strange photos have to prove that fine-tuning harms; a head that is right on a few of them does not.
    if head.right().all() and familiar >= STRANGE:
        return None, "no fine-tuning: the linear head is right on every photo that was held out"
    photos = _training_photos(course, head)
    plan = _plan(course, head)
    step_s = _seconds_per_step(head, photos, plan, classes, options.device)
    left = options.deadline - time.perf_counter() - KEPT_BACK * (options.deadline - options.began)
    # Each of the folds takes all steps but its share of them, which is FOLDS - 1 times the steps; all photos take 1.
    affordable = int(left / (step_s * FOLDS))
    if affordable < LEAST_STEPS:
        spent = time.perf_counter() - options.began
        needed = (step_s * FOLDS * LEAST_STEPS + spent) / (1 - KEPT_BACK) / 60
        return None, f"no fine-tuning: there is no time for it; give --minutes {np.ceil(needed):.0f} or more"
    plan = replace(plan, steps=min(plan.steps, affordable))
    folds = grouped_folds(head.features.labels, groups.ids, FOLDS, options.seed)
    fit = cross_fit(
        head.network, head.features, photos, folds, classes, head.found.strength, plan, options.device,
        in_stage(course.progress, "fine-tuning, judged by photos held out"), familiar=familiar,
    )  # fmt: skip
    return fit, _fine_tuning_words(fit, familiar)


def _fine_tuning_words(fit: CrossFit, familiar: float) -> str:
    """Return how much of the fine-tuning is taken, and why."""
    loss = fit.losses[SHARES.index(fit.share)] if fit.share else min(fit.losses[1:])
    losses = f"mean loss on photos held out {loss:.3f}, the linear head's {fit.losses[0]:.3f}"
    strange = familiar < STRANGE
    if not fit.share:
        found = "made it surely worse" if familiar < FAMILIAR else "did not make it surely better"
        return f"no fine-tuning: {fit.steps} steps {found} ({losses})"
    why = ""
    if strange:
        why = ", because your photos are unlike those that the network knows"
    elif not worthwhile(fit.photo_losses):
        why = ", because your photos are only half like those that the network knows"
    return f"fine-tuned for {fit.steps} steps{why}; the network takes {100 * fit.share:.0f} % of the change ({losses})"


def _training_photos(course: Course, head: Head) -> TrainingPhotos:
    """Decode the photos of the features once more, for training."""
    photos = read_photos(
        head.features.photos,
        head.network.variant.resolution,
        memory_budget(),
        in_stage(course.progress, "reading photos"),
    )
    if len(photos) != len(head.features):
        raise EdgenetError("photos vanished during the training", "keep the photos in place and start again")
    return photos


def _plan(course: Course, head: Head) -> FineTuning:
    options = course.options
    augmentation = Augmentation(crop_scale=0.5, flip=not options.no_flip)
    plan = FineTuning(steps=1, augmentation=augmentation, seed=options.seed)
    return replace(plan, steps=wanted_steps(len(head.features), plan.batch))


def _seconds_per_step(
    head: Head, photos: TrainingPhotos, plan: FineTuning, classes: Sequence[str], device: torch.device
) -> float:
    """Return the time of one step, measured on a few that are thrown away."""
    network, trial = head.taught(classes, ""), replace(plan, steps=_TRIAL_STEPS)
    fine_tune(network, photos, replace(plan, steps=1), device)
    began = time.perf_counter()
    fine_tune(network, photos, trial, device)
    return (time.perf_counter() - began) / _TRIAL_STEPS


def tuned(course: Course, head: Head, network: LoadedNetwork, fit: CrossFit) -> LoadedNetwork:
    """Return the network after fine-tuning with all photos, mixed with the one before as the folds chose."""
    plan = replace(_plan(course, head), steps=fit.steps)
    photos = _training_photos(course, head)
    after = fine_tune(
        network, photos, plan, course.options.device,
        in_stage(course.progress, "fine-tuning with all photos"),
    )  # fmt: skip
    return blend(network, after, fit.share)
