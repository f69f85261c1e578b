"""Finishes quantization-aware training: writes the int8 files and compares them with the float network."""

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
"""Most photos to check the integer arithmetic on, which is slow: it takes one photo at a time."""


@dataclass(frozen=True)
class Sameness:
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
    sameness: Sameness


def int8_path(job: Job) -> Path:
    """Return the path for the trained int8 file."""
    return job.out / f"{job.variant.name}.int8.tflite"


def finish_int8(job: Job, progress: Progress) -> Int8Training:
    """Write the int8 file that training started from and the trained one, and measure the accuracy of both.

    Each file is written twice: first to be measured, then with its measured accuracy inside.

    Raises:
        EdgenetError: a file cannot be written, or the float checkpoint can no longer be read.
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
    """Write one int8 file with its facts and labels, and return it."""
    facts: Facts = replace(source.facts, quantization=quantization, accuracy=accuracy)
    data = write_model(int8_program(quantized), facts, job.material.labels)
    write_atomically(path, data)
    return ModelFile(path, data, sha256(data), job.material.labels, None)


def _quantization(job: Job, qat: QatPlan, trained: bool) -> Quantization:
    """Return the record of how a file was quantized, which the file contains."""
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
    """Compare the fake-quantized network with its file's integer arithmetic, on up to COMPARED photos."""
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
    """Run the fake-quantized network on uint8 RGB [n,H,W,3]; return its logits, float32 [n,classes]."""
    device = next(fake.parameters()).device
    return fake(decode_pixels(fake.quantized.graph, images).to(device)).cpu().numpy()
