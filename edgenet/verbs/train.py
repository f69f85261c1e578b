"""The verb `train`: a folder of photos to a network that knows its classes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgenet.accuracy.intervals import Interval, wilson
from edgenet.data import content_hashes
from edgenet.errors import EdgenetError
from edgenet.files import make_folder, write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.plots.confusion_matrix import confusion_figure
from edgenet.plots.png import png
from edgenet.plots.training_curve import curve_figure
from edgenet.progress import Progress, silent
from edgenet.training.class_table import ClassRow, class_csv, class_rows
from edgenet.training.classes import imbalance, photo_counts
from edgenet.training.interrupt import stop_on_signals
from edgenet.training.job import Job, Say, begin, checkpoint_path, save_network, take_up
from edgenet.training.log import EpochRow, log_csv
from edgenet.training.loop import LOG_FILE, run_epochs, validate_job
from edgenet.training.plan import Plan
from edgenet.training.processes import is_first, joined, local_device
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.state import STATE_FILE, load_state
from edgenet.training.step import uses_bfloat16
from edgenet.training.student import QatPlan, Student
from edgenet.training.validation import TOP, Validation
from edgenet.verbs.train_int8 import Int8Training, finish_int8, int8_path
from edgenet.zoo.counting import NetworkCost, count
from edgenet.zoo.loading import load_network

CURVE_FILE, CLASSES_FILE, CONFUSION_FILE = "curve.png", "classes.csv", "confusion.png"

FINE_TUNING = Recipe(
    epochs=4,
    batch=32,
    learning_rate=0.005,
    weight_decay=4e-5,
    warmup_epochs=0.5,
    freeze_epochs=1,
    augmentation=Augmentation(crop_scale=0.5),
)
"""The numbers for a network that knows pictures already, where none are given; `Recipe()` is from scratch."""

QUANTIZATION_AWARE = Recipe(
    epochs=4,
    batch=32,
    learning_rate=0.02,
    weight_decay=0.0,
    warmup_epochs=0.1,
    ema_decay=0.99,
    precision="float32",
    augmentation=Augmentation(crop_scale=0.5),
)
"""Those for quantization-aware training; its learning rate is in steps of int8 (see `adam`)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        recipe: the numbers; None for `FINE_TUNING` with `pretrained`, else for `Recipe()`.
        pretrained: "imagenet", or a file of weights of the same architecture and width.
        teacher: a network that knows the same classes, to be learned from.
        hold_out: share of every class to validate with, where the data has no part for it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: bytes for photos in memory; None for half of what is free.
        qat: for quantization-aware training of `pretrained`, which is also the teacher unless there is another.
    """

    recipe: Recipe | None = None
    pretrained: str | None = None
    teacher: str | None = None
    distillation: Distillation = Distillation()  # noqa: RUF009 (frozen)
    hold_out: float = 0.1
    device: str = "auto"
    memory: int | None = None
    qat: QatPlan | None = None


@dataclass(frozen=True)
class Training:
    """What a training made, and what it found.

    Attributes:
        out: the checkpoint, which `convert` and `evaluate` take; of quantization-aware training the .tflite.
        top1: percent of the `n` validation photos whose best class is right; `top1_interval` holds it with 95 %.
        top5: percent whose class is among the best five; None for fewer than five classes.
        held_out: whether the validation photos were held out of the training photos.
        photos_per_s: over all epochs, without validation.
        waiting: percent of that time in which the network waited for photos.
        skipped: (name, reason) of the photos that could not be read.
        warnings: what the user should know, a sentence each without a full stop.
        int8: what quantization-aware training brought; None for a float network.
    """

    out: str
    variant: str
    mult_adds: int
    parameters: int
    data: str
    training_photos: int
    n: int
    held_out: bool
    top1: float
    top1_interval: Interval
    top5: float | None
    photos_per_s: float
    waiting: float
    seconds: float
    epochs: tuple[EpochRow, ...]
    classes: tuple[ClassRow, ...]
    files: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    int8: Int8Training | None = None


def train(
    variant: str | None,
    data: Path,
    out: Path,
    options: TrainingOptions = TrainingOptions(),
    progress: Progress = silent,
    say: Say = lambda line: None,
) -> Training | None:
    """Trains a network on class folders of photos, from scratch or from other weights.

    The network is the last epoch's averaged weights, not the epoch that was best on the validation photos: choosing by
    them would make their accuracy flatter. The same seed, photos and machine give the same bytes.

    Args:
        variant: its name, such as mobilenet_v2_0.35_96; None for the one of `options.pretrained`, with `options.qat`.
        data: a folder or zip of class folders, with or without train and val (or test) folders around them.
        out: the folder for the checkpoint, the log, the figures and the state; made if it is not there.
        say: told a line as each epoch is done.

    Returns:
        what was found; None in the processes beside the first that `torchrun` started.

    Raises:
        EdgenetError: photos, weights or options that do not fit; out of memory; a folder that holds a training already.
        TrainingStopped: SIGINT or SIGTERM came; `resume_training` goes on.
    """
    plan = _plan(variant, data, options)
    device = local_device(plan.device)
    _prepare_folder(out)
    with joined(device) as share:
        job = begin(plan, out, share, device, _only_first(progress))
        return _run(job, progress, say)


def first_recipe(options: TrainingOptions) -> Recipe:
    """The numbers where none are given."""
    if options.qat is not None:
        return QUANTIZATION_AWARE
    return FINE_TUNING if options.pretrained else Recipe()


def _plan(variant: str | None, data: Path, options: TrainingOptions) -> Plan:
    recipe = options.recipe or first_recipe(options)
    if options.qat is not None:
        _check_qat(options, recipe)
    if variant is None:
        variant = load_network(options.pretrained or "").variant.name
    teacher = options.teacher or (options.pretrained if options.qat else None)
    return Plan(
        variant=variant,
        data=str(data),
        recipe=recipe,
        distillation=options.distillation,
        pretrained=options.pretrained,
        teacher=teacher,
        hold_out=options.hold_out,
        device=options.device,
        memory=options.memory,
        qat=options.qat,
    )


def _check_qat(options: TrainingOptions, recipe: Recipe) -> None:
    if options.pretrained is None:
        raise EdgenetError(
            "--qat refines a network that was trained already", "give its checkpoint with --pretrained"
        )
    if options.pretrained.lower().endswith((".tflite", ".edgenet")):
        raise EdgenetError(
            f"{options.pretrained} is no checkpoint: its weights cannot be trained",
            "give --pretrained the .safetensors that it was made from",
        )
    refused = {
        "--progressive": recipe.progressive,
        "--freeze-epochs": recipe.freeze_epochs > 0,
        "--weight-decay": recipe.weight_decay > 0,
        "--precision": recipe.precision != "float32",
    }
    for name, given in refused.items():
        if given:
            raise EdgenetError(
                f"{name} does not go with --qat, which trains int8 steps in float32", f"leave out {name}"
            )


def resume_training(
    run: Path, data: Path | None = None, progress: Progress = silent, say: Say = lambda line: None
) -> Training | None:
    """Goes on with a training that was stopped or killed; the result has the same bytes as without the stop.

    Args:
        run: the folder that `train` wrote into.
        data: where the same photos are now, if they were moved.

    Raises:
        EdgenetError: nothing to go on with, or other photos than before; or see `train`.
        TrainingStopped: see `train`.
    """
    state = load_state(run)
    if data is not None:
        state = replace(state, plan=replace(state.plan, data=str(data)))
    device = local_device(state.plan.device)
    with joined(device) as share:
        job = take_up(state, run, share, device, _only_first(progress))
        return _run(job, progress, say)


def _run(job: Job, progress: Progress, say: Say) -> Training | None:
    first = job.setting.share.process == 0
    progress, say = (progress, say) if first else (silent, lambda line: None)
    warnings = _warnings(job)
    for line in (*_first_lines(job), *(f"warning: {warning}" for warning in warnings)):
        say(line)
    began = time.perf_counter()
    with stop_on_signals() as request:
        position = run_epochs(job, request, progress, say)
    if not first:
        return None
    save_network(job)  # also where every epoch was done before
    found = validate_job(job, progress)
    training = _summary(job, position.rows, found, warnings)
    if job.plan.qat is not None:
        training = replace(training, out=str(int8_path(job)), int8=finish_int8(job, progress))
    _write_reports(job, training, found)
    return replace(training, seconds=time.perf_counter() - began)


def _prepare_folder(out: Path) -> None:
    if (out / STATE_FILE).exists():
        raise EdgenetError(
            f"{out} holds a training already", f"go on with --resume {out}, or give another --out"
        )
    make_folder(out)


def _first_lines(job: Job) -> list[str]:
    material, setting = job.material, job.setting
    size_of = _size(job)
    kind = "held out of them" if material.held_out else f"in {material.validation.split}"
    where = f"{setting.device}, {'bfloat16' if uses_bfloat16(setting) else 'float32'}"
    if setting.device.type == "cpu":
        where += f", {torch.get_num_threads()} threads"
    if setting.share.processes > 1:
        where += f", {setting.share.processes} processes"
    position = job.position
    size = f"{size_of.mult_adds / 1e6:.1f} M mult-adds, {size_of.parameters / 1e6:.2f} M parameters"
    lines = [
        f"{job.variant.name}: {size}; {where}",
        f"{len(material.photos)} photos of {len(material.labels)} classes to train with, "
        f"{len(material.validation)} {kind} to validate with; {material.photos.in_memory} stay in memory",
    ]
    if position.epoch or position.step:
        lines.append(f"goes on in epoch {position.epoch + 1} after step {position.step}")
    return lines


def _warnings(job: Job) -> tuple[str, ...]:
    material = job.material
    counts = photo_counts(material.photos.labels, len(material.labels))
    found = [imbalance(counts, material.labels, job.plan.recipe.balance)]
    if not material.held_out:
        seen = set(material.photos.contents)
        twice = sum(content in seen for content in content_hashes(material.validation))
        if twice:
            found.append(
                f"{twice} validation photo{'s are' if twice > 1 else ' is'} among the training photos too, so the "
                "accuracy flatters"
            )
    return tuple(sentence for sentence in found if sentence is not None)


def _summary(job: Job, rows: Sequence[EpochRow], found: Validation, warnings: tuple[str, ...]) -> Training:
    material, n = job.material, len(found.labels)
    size_of = _size(job)
    waiting, computing = sum(row.waiting_s for row in rows), sum(row.computing_s for row in rows)
    names = material.labels
    return Training(
        out=str(checkpoint_path(job)),
        variant=job.variant.name,
        mult_adds=size_of.mult_adds,
        parameters=size_of.parameters,
        data=job.plan.data,
        training_photos=len(material.photos),
        n=n,
        held_out=material.held_out,
        top1=found.top1,
        top1_interval=wilson(found.right, n),
        top5=100 * found.right_of_five / n if len(names) >= TOP else None,
        photos_per_s=sum(row.photos for row in rows) / (waiting + computing),
        waiting=100 * waiting / (waiting + computing),
        seconds=0.0,
        epochs=tuple(rows),
        classes=class_rows(
            found.confusion(len(names)), names, photo_counts(material.photos.labels, len(names))
        ),
        files=tuple(str(job.out / name) for name in (LOG_FILE, CURVE_FILE, CLASSES_FILE, CONFUSION_FILE)),
        skipped=(*material.photos.skipped, *found.skipped),
        warnings=warnings,
    )


def _write_reports(job: Job, training: Training, found: Validation) -> None:
    names, out = job.material.labels, job.out
    write_atomically(out / LOG_FILE, log_csv(training.epochs))
    write_atomically(out / CLASSES_FILE, class_csv(training.classes))
    title = f"{training.variant} on {Path(training.data).name}"
    write_atomically(out / CURVE_FILE, png(curve_figure(training.epochs, title)))
    figure = confusion_figure(
        found.confusion(len(names)), names, f"{title}: top-1 {training.top1:.2f} % of {training.n} photos"
    )
    write_atomically(out / CONFUSION_FILE, png(figure))


def _size(job: Job) -> NetworkCost | Cost:
    network = job.learner.network
    return cost(network.graph) if isinstance(network, Student) else count(network, job.variant.resolution)


def _only_first(progress: Progress) -> Progress:
    return progress if is_first() else silent
