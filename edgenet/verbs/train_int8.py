"""The end of quantization-aware training: the int8 files, and how they do beside the float network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from device_scripts.model_file import ModelFile
from edgenet.accuracy.paired import Paired
from edgenet.accuracy.verdict import verdict
from edgenet.bundle.manifest import Accuracy, Facts, Quantization
from edgenet.data import PhotoSet, digest, load_batches
from edgenet.files import sha256, write_atomically
from edgenet.graph.executor import decode_pixels
from edgenet.progress import Progress
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.fake import FakeQuantized
from edgenet.quantize.integer import real_logits
from edgenet.quantize.recipes import RECIPES
from edgenet.tflite.layout import int8_program
from edgenet.tflite.model_file import write_model
from edgenet.training.job import Job
from edgenet.training.student import QatPlan, Student, calibration_indices
from edgenet.verbs.evaluate import Evaluation, EvaluationOptions, evaluate_scorers
from edgenet.verbs.scorers import float_scorer, lite_scorer
from edgenet.verbs.sources import Source, SourceOptions, open_source

COMPARED = 500
"""The integer reading takes one photo at a time: it is compared with the trained network on at most so many."""


@dataclass(frozen=True)
class Sameness:
    """The trained fake-quantized network beside the integer reading of the file.

    Attributes:
        n: validation photos.
        same_answer: those on which both have the same best class.
        largest_steps: largest difference of any logit, in steps of int8.
    """

    n: int
    same_answer: int
    largest_steps: float


@dataclass(frozen=True)
class Int8Training:
    """What quantization-aware training brought.

    Attributes:
        start: the file of the post-training recipe, which it started from.
        evaluation: the float checkpoint, that file and the trained one, on the validation photos; files by LiteRT.
        against_start: the trained file against the one it started from.
        verdict: what that allows to be said.
        sameness: whether what was trained is what the file computes.
    """

    start: str
    recipe: str
    evaluation: Evaluation
    against_start: Paired
    verdict: str
    sameness: Sameness


def int8_path(job: Job) -> Path:
    """Where the trained file goes."""
    return job.out / f"{job.variant.name}.int8.tflite"


def finish_int8(job: Job, progress: Progress) -> Int8Training:
    """Writes the file that training started from and the trained one, and measures both.

    Raises:
        EdgenetError: a file cannot be written, or the float checkpoint cannot be read any more.
    """
    student, qat, photos = job.learner.average, job.plan.qat, job.material.validation
    assert isinstance(student, Student)
    assert qat is not None
    source = open_source(job.plan.pretrained or "", SourceOptions(job.variant.resolution), progress)
    start, trained = student.fake.quantized, student.fake.finished()
    before = job.out / f"{job.variant.name}.post-training.int8.tflite"
    files = [
        _model(job, source, before, start, _quantization(job, qat, trained=False)),
        _model(job, source, int8_path(job), trained, _quantization(job, qat, trained=True)),
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
        quantization = _quantization(job, qat, trained=graph is trained)
        _model(job, source, file.path, graph, quantization, accuracy)
    same = sameness(student.fake, trained, photos, progress)
    return Int8Training(str(before), qat.recipe, evaluation, paired, verdict(paired), same)


def _model(
    job: Job,
    source: Source,
    path: Path,
    quantized: QuantizedGraph,
    quantization: Quantization,
    accuracy: Accuracy | None = None,
) -> ModelFile:
    """Writes one file."""
    facts: Facts = replace(source.facts, quantization=quantization, accuracy=accuracy)
    data = write_model(int8_program(quantized), facts, job.material.labels)
    write_atomically(path, data)
    return ModelFile(path, data, sha256(data), job.material.labels, None)


def _quantization(job: Job, qat: QatPlan, trained: bool) -> Quantization:
    """What the file says of how it was made."""
    photos, recipe = job.material.photos, job.plan.recipe
    calibrating = photos.photoset.take(calibration_indices(photos, qat.photos))
    steps, name = RECIPES[qat.recipe].steps, qat.recipe
    if trained:
        name = f"qat from {name}"
        steps = (
            *steps,
            f"quantization-aware training of weights and biases: {len(photos)} photos, {recipe.epochs} epochs, Adam, "
            f"{recipe.learning_rate:g} steps",
        )
    return Quantization(name, steps, digest(calibrating), len(calibrating))


def sameness(
    fake: FakeQuantized, quantized: QuantizedGraph, photos: PhotoSet, progress: Progress
) -> Sameness:
    """Compares the network that was trained with its integers."""
    scale = quantized.encodings[quantized.graph.output].scale
    same, largest, n = 0, 0.0, 0
    for batch in load_batches(photos, quantized.graph.size[0], limit=COMPARED):
        if not len(batch):
            continue
        given, exact = fake_logits(fake, batch.images), real_logits(quantized, batch.images)
        same += int((given.argmax(axis=1) == exact.argmax(axis=1)).sum())
        largest = max(largest, float(np.abs(given - exact).max()) / scale)
        n += len(batch)
        progress("comparing with integers", n, min(len(photos), COMPARED))
    return Sameness(n, same, round(largest, 3))


@torch.no_grad()
def fake_logits(fake: FakeQuantized, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of uint8 RGB [n,H,W,3], float32 [n,classes]."""
    device = next(fake.parameters()).device
    return fake(decode_pixels(fake.quantized.graph, images).to(device)).cpu().numpy()
