"""Sets up a training, either new or resumed: its plan, photos, network and output folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgenet.data.photos import PhotoSet
from edgenet.errors import EdgenetError
from edgenet.progress import Progress
from edgenet.training.learner import (
    Learner,
    fresh_network,
    learner_tensors,
    new_learner,
    pretrained_network,
    restore,
    trained_network,
)
from edgenet.training.loader import ProcessShare
from edgenet.training.photos import TrainingPhotos, hold_out, memory_budget, open_training_data, read_photos
from edgenet.training.state import Plan, Position, TrainingState, check_same_data, data_digest
from edgenet.training.step import StepSettings, teacher_of
from edgenet.training.student import QatNetwork, quantize_for_training, quantized_digest
from edgenet.training.validation import check_counts, photo_counts
from edgenet.zoo.checkpoint import LoadedNetwork, save_checkpoint
from edgenet.zoo.classifier import Classifier
from edgenet.zoo.readers import load_network
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
    """

    photos: TrainingPhotos
    validation: PhotoSet
    held_out: bool
    labels: tuple[str, ...]
    digest: str


@dataclass(frozen=True)
class Job:
    """Everything that the training loop needs. The loop changes only `learner`.

    Attributes:
        plan: what the user asked for.
        variant: the architecture, width and resolution.
        material: the photos.
        learner: the network and the state of its optimizer.
        setting: what stays the same in all steps.
        position: where the training starts or resumes.
        out: the output folder.
        source: where the weights come from; it goes into the checkpoint.
        licence: the licence of the weights; it goes into the checkpoint.
    """

    plan: Plan
    variant: Variant
    material: TrainingData
    learner: Learner
    setting: StepSettings
    position: Position
    out: Path
    source: str
    licence: str


def read_material(plan: Plan, resolution: int, progress: Progress) -> TrainingData:
    """Read the photos and split them into training and validation photos.

    Raises:
        EdgenetError: see `open_training_data`, `read_photos` and `check_counts`.
    """
    opened = open_training_data(Path(plan.data))
    photos = read_photos(
        opened.training,
        resolution,
        memory_budget() if plan.memory is None else plan.memory,
        lambda done, total: progress("reading photos", done, total),
    )
    names = opened.training.class_names
    unreadable = [name for name, _ in photos.skipped]
    least = 2 if opened.validation is None else 1
    check_counts(photo_counts(photos.labels, len(names)), names, unreadable, least)
    digest = data_digest(photos)
    if opened.validation is not None:
        return TrainingData(photos, opened.validation, False, names, digest)
    kept, held = hold_out(photos.labels.tolist(), photos.contents, plan.hold_out, plan.recipe.seed)
    return TrainingData(photos.take(kept), photos.photoset.take(held), True, names, digest)


def begin(plan: Plan, out: Path, share: ProcessShare, device: torch.device, progress: Progress) -> Job:
    """Set up a new training.

    Raises:
        EdgenetError: the variant is unknown, or the photos or weights do not fit it.
    """
    variant = parse_variant(plan.variant)
    material = read_material(plan, variant.resolution, progress)
    network = _first_network(plan, variant, material.labels, progress)
    plan, module = _module_to_train(plan, network, material, share, progress)
    learner = new_learner(module, plan.recipe, device)
    setting = _setting(plan, material.labels, share, device, progress)
    return Job(
        plan, variant, material, learner, setting, Position(), out, _source(plan, network), network.licence
    )


def resume(
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
    material = read_material(plan, variant.resolution, progress)
    check_same_data(state, material.labels, material.digest, plan.data)
    module: Classifier | QatNetwork = build_with(variant, state.options)
    if plan.qat is not None:
        first = _first_network(plan, variant, material.labels, progress)
        again, module = _module_to_train(plan, first, material, share, progress)
        if again != plan:
            raise EdgenetError(
                f"{plan.pretrained} does not give the int8 network that the training started from",
                "restore the original checkpoint, or start a new training with another --out",
            )
    learner = new_learner(module, plan.recipe, device)
    restore(learner, state.tensors, state.updates)
    setting = _setting(plan, material.labels, share, device, progress)
    return Job(plan, variant, material, learner, setting, state.position, out, state.source, state.licence)


def snapshot(job: Job, position: Position) -> TrainingState:
    """Return the state to save for a job at a position."""
    return TrainingState(
        plan=job.plan,
        position=position,
        data_digest=job.material.digest,
        labels=job.material.labels,
        options=job.learner.network.options,
        source=job.source,
        licence=job.licence,
        processes=job.setting.share.processes,
        updates=job.learner.updates,
        tensors=learner_tensors(job.learner),
    )


def checkpoint_path(job: Job) -> Path:
    """Return the path of the float network's checkpoint."""
    return job.out / f"{job.variant.name}.safetensors"


def save_network(job: Job) -> None:
    """Write the averaged weights as a checkpoint that every other verb accepts.

    An int8 network (a `Student`) has no checkpoint: until it is written as a model file, only the state file holds it.

    Raises:
        EdgenetError: the checkpoint cannot be written.
    """
    average, labels = job.learner.average, job.material.labels
    if isinstance(average, QatNetwork):
        return
    save_checkpoint(
        checkpoint_path(job),
        LoadedNetwork(average, job.variant, labels, average.normalization, job.source, job.licence),
    )


def _first_network(
    plan: Plan, variant: Variant, labels: tuple[str, ...], progress: Progress
) -> LoadedNetwork:
    if plan.pretrained is None:
        return fresh_network(variant, labels, plan.recipe.seed)

    def downloading(done: int, total: int) -> None:
        progress("downloading weights", done, total)

    if plan.qat is not None:
        return trained_network(variant, labels, plan.pretrained, downloading)
    return pretrained_network(variant, labels, plan.pretrained, plan.recipe.seed, downloading)


def _module_to_train(
    plan: Plan, first: LoadedNetwork, material: TrainingData, share: ProcessShare, progress: Progress
) -> tuple[Plan, Classifier | QatNetwork]:
    """Return the plan and the network to train; for an int8 network the plan gains the digest of its start."""
    if plan.qat is None:
        return plan, first.module
    if share.processes > 1:
        raise EdgenetError(
            f"--qat was started in {share.processes} processes", "start it without torchrun, in one process"
        )
    student = quantize_for_training(first, material.photos, plan.qat, progress)
    qat = replace(plan.qat, start=quantized_digest(student.fake.quantized))
    return replace(plan, qat=qat), student


def _setting(
    plan: Plan, labels: tuple[str, ...], share: ProcessShare, device: torch.device, progress: Progress
) -> StepSettings:
    teacher = None
    if plan.teacher is not None:
        loaded = load_network(
            plan.teacher, progress=lambda done, total: progress("downloading weights", done, total)
        )
        teacher = teacher_of(loaded, labels, device)
    return StepSettings(plan.recipe, plan.distillation, teacher, device, share)


def _source(plan: Plan, first: LoadedNetwork) -> str:
    """Return one line on where the weights come from. Of local paths, only the data folder's name goes in."""
    return f"trained by edgenet on {Path(plan.data).name}, from {first.origin}"
