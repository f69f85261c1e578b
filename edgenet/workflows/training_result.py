"""The result of a training, and the figures and tables that are written to its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from edgenet_device.model_file import ModelFile
from numpy.typing import NDArray

from edgenet.accuracy import Interval, Paired, verdict, wilson
from edgenet.data.file_account import FileAccount
from edgenet.data.groups import THUMBNAIL, group_photos, leaks
from edgenet.data.loading import contents_digest, evenly, load_all, load_batches, readable_hashes
from edgenet.data.photos import PhotoSet, alike_warning, same_photo_warnings, two_labels_warning
from edgenet.data.splits import leak_warning
from edgenet.files import sha256, write_atomically
from edgenet.graph.executor import decode_pixels
from edgenet.graph.shapes import Cost, cost
from edgenet.manifest import Accuracy, Facts, Quantization
from edgenet.progress import Progress
from edgenet.quantize.fake_quantization import FakeQuantized
from edgenet.quantize.integer import real_logits
from edgenet.quantize.quantized_graph import QuantizedGraph
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.from_graph import int8_program, write_model
from edgenet.training.job import Job, TrainingData, checkpoint_path
from edgenet.training.loop import LOG_FILE
from edgenet.training.photos import MOST_COMPARED, TrainingPhotos, imbalance_warning, photo_counts, thumbnails
from edgenet.training.qat import QatNetwork, QatPlan, calibration_indices
from edgenet.training.state import EpochRow, log_csv
from edgenet.training.step import uses_bfloat16
from edgenet.training.validation import TOP, ClassRow, Validation, class_csv, class_rows
from edgenet.workflows.evaluate import Evaluation, EvaluationOptions, evaluate_scorers
from edgenet.workflows.scoring import float_scorer, lite_scorer
from edgenet.workflows.sources import Source, SourceOptions, open_source
from edgenet.zoo.counting import NetworkCost, count

CURVE_FILE, CLASSES_FILE, CONFUSION_FILE = "curve.png", "classes.csv", "confusion.png"
COMPARED = 500
"""Most photos to check the integer arithmetic on, which is slow: it takes one photo at a time."""


@dataclass(frozen=True)
class IntegerMatch:
    """How closely the trained fake-quantized network matches the integer arithmetic of its file.

    Attributes:
        n: number of validation photos compared.
        same_answer: number of photos on which both have the same best class.
        largest_steps: largest difference of any logit, in int8 steps of the logits.
    """

    n: int
    same_answer: int
    largest_steps: float


@dataclass(frozen=True)
class Int8Training:
    """The result of quantization-aware training.

    Attributes:
        start: path of the int8 file that training started from, made by the post-training recipe.
        recipe: name of that recipe.
        evaluation: accuracy on the validation photos of the float checkpoint, the start file and the trained
            file; LiteRT runs the files.
        against_start: paired comparison of the trained file with the start file.
        verdict: the conclusion from `against_start` in words.
        sameness: how closely the trained network matches what its file computes.
    """

    start: str
    recipe: str
    evaluation: Evaluation
    against_start: Paired
    verdict: str
    sameness: IntegerMatch


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
        account: what became of every file of the data.
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
    account: FileAccount
    int8: Int8Training | None = None


def first_lines(job: Job) -> list[str]:
    """Return lines that say which network is trained, on which photos, and on which device."""
    data, settings = job.data, job.settings
    size_of = _size(job)
    kind = "held out of them" if data.held_out else f"in {data.validation.split}"
    where = f"{settings.device}, {'bfloat16' if uses_bfloat16(settings) else 'float32'}"
    if settings.device.type == "cpu":
        where += f", {torch.get_num_threads()} threads"
    if settings.share.processes > 1:
        where += f", {settings.share.processes} processes"
    position = job.position
    size = f"{size_of.mult_adds / 1e6:.1f} M mult-adds, {size_of.parameters / 1e6:.2f} M parameters"
    lines = [
        f"{job.variant.name}: {size}; {where}",
        f"{len(data.photos)} photos of {len(data.labels)} classes to train with, "
        f"{len(data.validation)} {kind} to validate with; {data.photos.in_memory} stay in memory",
    ]
    if job.plan.pretrained is not None:
        lines.append(f"starts from {job.source.partition(', from ')[2]}")
    if position.epoch or position.step:
        lines.append(f"continues in epoch {position.epoch + 1} after step {position.step}")
    return lines


def training_warnings(job: Job) -> tuple[str, ...]:
    """Return the warnings to show before the first step, one sentence each without a full stop."""
    data = job.data
    counts = photo_counts(data.photos.labels, len(data.labels))
    imbalance = imbalance_warning(counts, data.labels, job.plan.recipe.balance)
    found = [
        *_assumed(job),
        *data.photos.photoset.found.warnings,
        imbalance,
        *_content_warnings(data),
        _of_one_scene(data),
    ]
    return tuple(sentence for sentence in found if sentence is not None)


def _assumed(job: Job) -> tuple[str, ...]:
    """Return what was assumed about the file of weights, without the option that a training does not have."""
    return tuple(sentence.partition("; give --normalization")[0] for sentence in job.assumed)


def _of_one_scene(data: TrainingData) -> str | None:
    """Return a warning if the photos of a class all show one scene, those held out as well; else None."""
    if not data.one_scene:
        return None
    classes = ", ".join(data.labels[label] for label in data.one_scene[:5])
    more = f" and {len(data.one_scene) - 5} more" if len(data.one_scene) > 5 else ""
    return (
        f"all photos of {classes}{more} show one scene each, so those held out show what was trained with and the "
        "accuracy looks better than it is; capture them again in other places, with other light and backgrounds"
    )


def _content_warnings(data: TrainingData) -> list[str | None]:
    """Return warnings about files of the same contents, and about photos that all look alike."""
    training, validation = data.photos.photoset, data.validation
    in_validation = readable_hashes(validation)
    contents = (*data.photos.contents, *in_validation.values())
    labels = [*data.photos.labels.tolist(), *(validation.labels[i] for i in in_validation)]
    names = [*_full_names(training), *(_full_names(validation)[i] for i in in_validation)]
    found = (
        two_labels_warning(names, labels, contents, data.labels),
        *same_photo_warnings(labels, contents, data.labels),
        alike_warning(_some_looks(data.photos)),
    )
    return [*found, None if data.held_out else _leaks(data)]


def _leaks(data: TrainingData) -> str | None:
    """Return a warning if photos of the validation folder show scenes to train with; else None.

    Scenes are found by names and equal files, and in sets of at most MOST_COMPARED photos by looks as well.
    """
    training, validation = data.photos, data.validation
    if len(training) + len(validation) <= MOST_COMPARED:
        loaded = load_all(validation, THUMBNAIL)
        looks = np.concatenate([thumbnails(training), loaded.images])
        names, labels, contents = loaded.names, loaded.labels, loaded.contents
    else:
        looks, found = None, readable_hashes(validation)
        names = tuple(validation.names[index] for index in found)
        labels, contents = tuple(validation.labels[index] for index in found), tuple(found.values())
    every_name = (
        *(f"{training.photoset.split}/{name}" for name in training.photoset.names),
        *(f"{validation.split}/{name}" for name in names),
    )
    every_label = np.array([*training.labels, *labels], np.int64)
    groups = group_photos(None, looks, every_label, every_name, (*training.contents, *contents))
    pairs = leaks(groups.ids, np.arange(len(every_name)) >= len(training))
    split, own = training.photoset.split or "train", validation.split or "val"
    return leak_warning(pairs, every_name, len(names), split, own, counted=True)


def _full_names(photos: PhotoSet) -> list[str]:
    return [f"{photos.split}/{name}" if photos.split else name for name in photos.names]


def _some_looks(photos: TrainingPhotos) -> NDArray[np.uint8]:
    """Return up to 64 of the photos that are in memory, evenly spread and reduced to 16 pixels."""
    kept = [index for index in range(len(photos)) if photos.is_in_memory(index)]
    chosen = [kept[i] for i in evenly(len(kept), 64)]
    small = [cv2.resize(photos.pixels(i), (16, 16), interpolation=cv2.INTER_AREA) for i in chosen]
    return np.array(small, np.uint8).reshape(-1, 16, 16, 3)


def summary(job: Job, rows: Sequence[EpochRow], found: Validation, warnings: tuple[str, ...]) -> Training:
    """Return the result of the training; the caller must fill in `seconds` and `int8`."""
    data, n = job.data, len(found.labels)
    size_of = _size(job)
    waiting, computing = sum(row.waiting_s for row in rows), sum(row.computing_s for row in rows)
    names = data.labels
    return Training(
        out=str(checkpoint_path(job)),
        variant=job.variant.name,
        mult_adds=size_of.mult_adds,
        parameters=size_of.parameters,
        data=job.plan.data,
        training_photos=len(data.photos),
        n=n,
        held_out=data.held_out,
        top1=found.top1,
        top1_interval=wilson(found.right, n),
        top5=100 * found.right_of_five / n if len(names) >= TOP else None,
        photos_per_s=sum(row.photos for row in rows) / (waiting + computing),
        waiting=100 * waiting / (waiting + computing),
        seconds=0.0,
        epochs=tuple(rows),
        classes=class_rows(found.confusion(len(names)), names, photo_counts(data.photos.labels, len(names))),
        files=tuple(str(job.out / name) for name in (LOG_FILE, CURVE_FILE, CLASSES_FILE, CONFUSION_FILE)),
        skipped=(*data.photos.skipped, *found.skipped),
        warnings=warnings,
        account=_account(data, found),
    )


def _account(data: TrainingData, found: Validation) -> FileAccount:
    """Return what became of every file of the training's data."""
    trained, validated = len(data.photos), len(found.labels)
    training = data.photos.photoset
    if data.held_out or data.validation.split is None:
        return training.account(trained + validated, (*data.photos.skipped, *found.skipped))
    validation = data.validation.account(validated, found.skipped)
    return training.account(trained, data.photos.skipped).with_split(validation, data.validation.split)


def write_reports(job: Job, training: Training, found: Validation) -> None:
    """Write the log, the training curve, the table of classes and the confusion matrix.

    matplotlib is imported only here, because it is slow to import.

    Raises:
        EdgenetError: a file cannot be written.
    """
    from edgenet.figures.style import png
    from edgenet.figures.training_figures import confusion_figure, curve_figure

    names, out = job.data.labels, job.out
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
    return cost(network.graph) if isinstance(network, QatNetwork) else count(network, job.variant.resolution)


def int8_path(job: Job) -> Path:
    """Return the path for the trained int8 file."""
    return job.out / f"{job.variant.name}.int8.tflite"


def finish_int8(job: Job, progress: Progress) -> Int8Training:
    """Write the int8 file that training started from and the trained one, and measure the accuracy of both.

    Each file is written twice: first to be measured, then with its measured accuracy inside.

    Raises:
        EdgenetError: a file cannot be written, or the float checkpoint can no longer be read.
    """
    student, qat, photos = job.learner.average, job.plan.qat, job.data.validation
    assert isinstance(student, QatNetwork)
    assert qat is not None
    float_options = SourceOptions(job.variant.resolution, architecture=job.plan.architecture)
    source = open_source(job.plan.pretrained or "", float_options, progress)
    start, trained = student.fake.quantized, student.fake.finished()
    before = job.out / f"{job.variant.name}.post-training.int8.tflite"
    files = [
        _model(job, source, before, start, _quantization(job, qat, start, trained=False)),
        _model(job, source, int8_path(job), trained, _quantization(job, qat, trained, trained=True)),
    ]
    options = EvaluationOptions()
    scorers = [lite_scorer(str(file.path), file, options.threads) for file in files]
    beside = [float_scorer(str(job.plan.pretrained), source), *scorers]
    evaluation = evaluate_scorers(beside, photos, options, progress)
    paired = evaluate_scorers(scorers, photos, options, progress).models[1].against_first
    assert paired is not None
    for file, graph, row in zip(files, (start, trained), evaluation.models[1:], strict=True):
        accuracy = Accuracy(
            evaluation.models[0].top1, row.top1, evaluation.n, Path(evaluation.data).resolve().name
        )
        quantization = _quantization(job, qat, graph, trained=graph is trained)
        _model(job, source, file.path, graph, quantization, accuracy)
    same = compare_with_integers(student.fake, trained, photos, progress)
    return Int8Training(str(before), qat.recipe, evaluation, paired, verdict(paired), same)


def _model(
    job: Job,
    source: Source,
    path: Path,
    quantized: QuantizedGraph,
    quantization: Quantization,
    accuracy: Accuracy | None = None,
) -> ModelFile:
    """Write one int8 file with its facts and labels, and return it."""
    facts: Facts = replace(source.facts, quantization=quantization, accuracy=accuracy)
    data = write_model(int8_program(quantized), facts, job.data.labels)
    write_atomically(path, data)
    return ModelFile(path, data, sha256(data), job.data.labels, None)


def _quantization(job: Job, qat: QatPlan, quantized: QuantizedGraph, trained: bool) -> Quantization:
    """Return the record of how a file was quantized, which the file contains."""
    photos, recipe = job.data.photos, job.plan.recipe
    calibrating = photos.photoset.take(calibration_indices(photos, qat.photos))
    steps, name = quantized.steps or RECIPES[qat.recipe].steps, qat.recipe
    if trained:
        name = f"qat from {name}"
        steps = (
            *steps,
            f"quantization-aware training of weights and biases: {len(photos)} photos, {recipe.epochs} epochs, Adam, "
            f"{recipe.learning_rate:g} steps",
        )
    return Quantization(name, steps, contents_digest(calibrating), len(calibrating))


def compare_with_integers(
    fake: FakeQuantized, quantized: QuantizedGraph, photos: PhotoSet, progress: Progress
) -> IntegerMatch:
    """Compare the fake-quantized network with its file's integer arithmetic, on up to COMPARED photos."""
    scale = quantized.encodings[quantized.graph.output].scale
    same, largest, n = 0, 0.0, 0
    for batch in load_batches(photos, quantized.graph.size, limit=COMPARED):
        if not len(batch):
            continue
        given, exact = fake_logits(fake, batch.images), real_logits(quantized, batch.images)
        same += int((given.argmax(axis=1) == exact.argmax(axis=1)).sum())
        largest = max(largest, float(np.abs(given - exact).max()) / scale)
        n += len(batch)
        progress("comparing with integers", n, min(len(photos), COMPARED))
    return IntegerMatch(n, same, round(largest, 3))


@torch.no_grad()
def fake_logits(fake: FakeQuantized, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the fake-quantized network on uint8 RGB [n,H,W,3]; return its logits, float32 [n,classes]."""
    device = next(fake.parameters()).device
    return fake(decode_pixels(fake.quantized.graph, images).to(device)).cpu().numpy()
