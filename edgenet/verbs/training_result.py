"""The result of a training, and the figures and tables that are written to its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from edgenet.accuracy.intervals import Interval, wilson
from edgenet.data import content_hashes
from edgenet.files import write_atomically
from edgenet.graph.cost import Cost, cost
from edgenet.plots.confusion_matrix import confusion_figure
from edgenet.plots.png import png
from edgenet.plots.training_curve import curve_figure
from edgenet.training.class_table import ClassRow, class_csv, class_rows
from edgenet.training.classes import imbalance, photo_counts
from edgenet.training.job import Job, checkpoint_path
from edgenet.training.log import EpochRow, log_csv
from edgenet.training.loop import LOG_FILE
from edgenet.training.step import uses_bfloat16
from edgenet.training.student import Student
from edgenet.training.validation import TOP, Validation
from edgenet.verbs.train_int8 import Int8Training
from edgenet.zoo.counting import NetworkCost, count

CURVE_FILE, CLASSES_FILE, CONFUSION_FILE = "curve.png", "classes.csv", "confusion.png"


@dataclass(frozen=True)
class Training:
    """The result of a training.

    Attributes:
        out: path of the checkpoint, which `convert` and `evaluate` take; after quantization-aware training,
            of the .tflite.
        mult_adds, parameters: the network's cost.
        data: path of the photos.
        training_photos: number of photos trained with.
        n: number of validation photos.
        held_out: whether the validation photos were held out of the training photos, not given separately.
        top1: percent of the validation photos whose best class is right; `top1_interval` is its 95 %
            confidence interval.
        top5: percent of the validation photos whose class is among the best five; None for fewer than five
            classes.
        photos_per_s: training throughput over all epochs, without validation, photos per second.
        waiting: percent of that time that the network waited for photos.
        seconds: wall time, seconds.
        epochs: the figures of each epoch.
        classes: the accuracy of each class.
        files: paths of the log, figures and tables.
        skipped: (name, reason) of the photos that could not be read.
        warnings: what the user should know, one sentence each without a full stop.
        int8: the result of quantization-aware training; None for a float network.
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


def first_lines(job: Job) -> list[str]:
    """Return lines that say which network is trained, on which photos, and on which device."""
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
        lines.append(f"continues in epoch {position.epoch + 1} after step {position.step}")
    return lines


def training_warnings(job: Job) -> tuple[str, ...]:
    """Return the warnings to show before the first step, one sentence each without a full stop."""
    material = job.material
    counts = photo_counts(material.photos.labels, len(material.labels))
    found = [imbalance(counts, material.labels, job.plan.recipe.balance)]
    if not material.held_out:
        seen = set(material.photos.contents)
        twice = sum(content in seen for content in content_hashes(material.validation))
        if twice:
            found.append(
                f"{twice} validation photo{'s are' if twice > 1 else ' is'} also among the training photos, so the "
                "accuracy looks better than it is"
            )
    return tuple(sentence for sentence in found if sentence is not None)


def summary(job: Job, rows: Sequence[EpochRow], found: Validation, warnings: tuple[str, ...]) -> Training:
    """Return the result of the training; the caller must fill in `seconds` and `int8`."""
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


def write_reports(job: Job, training: Training, found: Validation) -> None:
    """Write the log, the training curve, the table of classes and the confusion matrix.

    Raises:
        EdgenetError: a file cannot be written.
    """
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
