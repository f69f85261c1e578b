"""Sets up a training, either new or resumed: its plan, photos, network and output folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgenet.data.photos import PhotoSet
from edgenet.data.splits import hold_out_groups
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, in_stage
from edgenet.training.learner import Learner, learner_tensors, new_learner, restore
from edgenet.training.loader import steps_per_epoch
from edgenet.training.machine import memory_budget
from edgenet.training.photos import (
    TrainingPhotos,
    check_counts,
    open_training_data,
    photo_counts,
    read_photos,
    scenes,
)
from edgenet.training.processes import ProcessShare
from edgenet.training.qat import QatNetwork, calibration_images, quantize_for_training, quantized_digest
from edgenet.training.starting import (
    StartingWeights,
    fresh_network,
    give_statistics,
    is_folded,
    load_weights,
    pretrained_network,
    trained_network,
)
from edgenet.training.state import Plan, Position, TrainingState, check_same_data, data_digest
from edgenet.training.step import StepSettings, teacher_of
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.classifier import Classifier
from edgenet.zoo.registry import Variant, build_with, parse_variant


@dataclass(frozen=True)
class TrainingData:
    """The photos of a training.

    Attributes:
        photos: the photos to train with.
        validation: the photos to validate with.
        held_out: whether `validation` was split off from the training photos.
        labels: the class names.
        digest: SHA-256 over the photos read for training, before any were held out (see `data_digest`).
        one_scene: the classes whose photos are all of one scene, so that those held out show it as well.
    """

    photos: TrainingPhotos
    validation: PhotoSet
    held_out: bool
    labels: tuple[str, ...]
    digest: str
    one_scene: tuple[int, ...] = ()


@dataclass(frozen=True)
class Job:
    """Everything that the training loop needs. The loop changes only `learner`.

    Attributes:
        plan: what the user asked for.
        variant: the architecture, width and resolution.
        data: the photos.
        learner: the network and the state of its optimizer.
        settings: what stays the same in all steps.
        position: where the training starts or resumes.
        out: the output folder.
        source: where the weights come from; it goes into the checkpoint.
        licence: the licence of the weights; it goes into the checkpoint.
        assumed: what the file of the weights does not say and was assumed; empty if the training is resumed.
    """

    plan: Plan
    variant: Variant
    data: TrainingData
    learner: Learner
    settings: StepSettings
    position: Position
    out: Path
    source: str
    licence: str
    assumed: tuple[str, ...] = ()


def start_job(plan: Plan, out: Path, share: ProcessShare, device: torch.device, progress: Progress) -> Job:
    """Set up a new training.

    Raises:
        EdgenetError: the variant is unknown, or the photos or weights do not fit it.
    """
    variant = parse_variant(plan.variant)
    data = read_training_data(plan, variant.resolution, progress)
    network = _first_network(plan, variant, data, progress)
    plan, module = _module_to_train(plan, network, data, share, progress)
    learner = new_learner(module, plan.recipe, device)
    settings = _step_settings(plan, data.labels, share, device, progress)
    source = _source(plan, network)
    return Job(
        plan,
        variant,
        data,
        learner,
        settings,
        Position(),
        out,
        source,
        network.licence,
        network.assumed,
    )


def resume_job(
    state: TrainingState, out: Path, share: ProcessShare, device: torch.device, progress: Progress
) -> Job:
    """Set up a stopped training again, to continue with the step after its saved state.

    Raises:
        EdgenetError: the photos, the classes or the number of processes have changed.
    """
    plan = state.plan
    if share.processes != state.processes:
        raise EdgenetError(
            f"the training ran in {state.processes} processes, but now there are {share.processes}",
            f"start it again with torchrun --nproc-per-node {state.processes}",
        )
    variant = parse_variant(plan.variant)
    data = read_training_data(plan, variant.resolution, progress)
    check_same_data(state, data.labels, data.digest, plan.data)
    steps = steps_per_epoch(len(data.photos), plan.recipe.batch)
    if state.position.step > steps:
        raise EdgenetError(
            f"the saved state is at step {state.position.step} of an epoch of {steps} steps",
            "start the training again",
        )
    module: Classifier | QatNetwork = build_with(variant, state.options)
    if plan.qat is not None:
        first = _first_network(plan, variant, data, progress)
        again, module = _module_to_train(plan, first, data, share, progress)
        if again != plan:
            raise EdgenetError(
                f"{plan.pretrained} does not give the int8 network that the training started from",
                "restore the original checkpoint, or start a new training with another --out",
            )
    learner = new_learner(module, plan.recipe, device)
    restore(learner, state.tensors, state.updates)
    settings = _step_settings(plan, data.labels, share, device, progress)
    return Job(plan, variant, data, learner, settings, state.position, out, state.source, state.licence)


def read_training_data(plan: Plan, resolution: int, progress: Progress) -> TrainingData:
    """Read the photos and split them into training and validation photos.

    Raises:
        EdgenetError: see `open_training_data`, `read_photos` and `check_counts`.
    """
    split_photos = open_training_data(Path(plan.data))
    photos = read_photos(
        split_photos.training,
        resolution,
        memory_budget() if plan.memory is None else plan.memory,
        in_stage(progress, "reading photos"),
    )
    names = split_photos.training.class_names
    unreadable = [name for name, _ in photos.skipped]
    least = 2 if split_photos.validation is None else 1
    check_counts(photo_counts(photos.labels, len(names)), names, unreadable, least)
    digest = data_digest(photos)
    if split_photos.validation is not None:
        return TrainingData(photos, split_photos.validation, False, names, digest)
    groups, single = scenes(photos)
    kept, held_out = hold_out_groups(photos.labels, groups, photos.contents, plan.hold_out, plan.recipe.seed)
    held = photos.photoset.take(held_out.tolist())
    return TrainingData(photos.take(kept.tolist()), held, True, names, digest, single)


def _first_network(plan: Plan, variant: Variant, data: TrainingData, progress: Progress) -> LoadedNetwork:
    if plan.pretrained is None:
        return fresh_network(variant, data.labels, plan.recipe.seed)
    downloading = in_stage(progress, "downloading weights")
    start = StartingWeights(plan.pretrained, plan.architecture)
    if plan.qat is not None:
        return trained_network(variant, data.labels, start, downloading)
    network = pretrained_network(variant, data.labels, start, plan.recipe.seed, downloading)
    if is_folded(network.module):
        give_statistics(network, calibration_images(data.photos, variant.resolution, STATISTICS_PHOTOS))
    return network


STATISTICS_PHOTOS = 64
"""Photos from which weights with folded batch normalization get its statistics."""


def _module_to_train(
    plan: Plan, first: LoadedNetwork, data: TrainingData, share: ProcessShare, progress: Progress
) -> tuple[Plan, Classifier | QatNetwork]:
    """Return the plan and the network to train; for an int8 network the plan gains the digest of its start."""
    if plan.qat is None:
        return plan, first.module
    if share.processes > 1:
        raise EdgenetError(
            f"--qat was started in {share.processes} processes", "start it without torchrun, in one process"
        )
    network = quantize_for_training(first, data.photos, plan.qat, progress)
    qat = replace(plan.qat, start=quantized_digest(network.fake.quantized))
    return replace(plan, qat=qat), network


def _step_settings(
    plan: Plan, labels: tuple[str, ...], share: ProcessShare, device: torch.device, progress: Progress
) -> StepSettings:
    teacher = None
    if plan.teacher is not None:
        loaded = load_weights(plan.teacher, progress=in_stage(progress, "downloading weights"))
        teacher = teacher_of(loaded, labels, device)
    return StepSettings(plan.recipe, plan.distillation, teacher, device, share)


def _source(plan: Plan, first: LoadedNetwork) -> str:
    """Return one line on where the weights come from. Of local paths, only the data folder's name goes in."""
    return f"trained by edgenet on {Path(plan.data).name}, from {first.origin}"


def snapshot(job: Job, position: Position) -> TrainingState:
    """Return the state to save for a job at a position."""
    return TrainingState(
        plan=job.plan,
        position=position,
        data_digest=job.data.digest,
        labels=job.data.labels,
        options=job.learner.network.options,
        source=job.source,
        licence=job.licence,
        processes=job.settings.share.processes,
        updates=job.learner.updates,
        tensors=learner_tensors(job.learner),
    )


def save_network(job: Job) -> None:
    """Write the averaged weights as a checkpoint that every other verb accepts.

    A `QatNetwork` has no checkpoint: until it is written as a model file, only the state file holds it.

    Raises:
        EdgenetError: the checkpoint cannot be written.
    """
    average, labels = job.learner.average, job.data.labels
    if isinstance(average, QatNetwork):
        return
    save_checkpoint(
        checkpoint_path(job),
        LoadedNetwork(average, job.variant, labels, average.normalization, job.source, job.licence),
    )


def checkpoint_path(job: Job) -> Path:
    """Return the path of the float network's checkpoint."""
    return job.out / f"{job.variant.name}.safetensors"
