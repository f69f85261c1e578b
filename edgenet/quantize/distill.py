"""Fine-tuning the integers on the calibration photos, with the float network as the teacher; no labels needed.

The whole fake-quantized network is trained to give the float network's logits and block outputs (distillation,
arXiv 1503.02531; block outputs as in BRECQ, arXiv 2102.05426). A hundred photos are few: they are cut and mirrored
anew at every turn, and part of them is held out to keep the best state and to notice overfitting.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from edgenet.graph.executor import decode_pixels, run_tensors
from edgenet.graph.ir import Graph
from edgenet.graph.operators import Binary, DepthwiseConv2D, Mean
from edgenet.progress import Progress, silent
from edgenet.quantize.encodings import QuantizedGraph
from edgenet.quantize.fake import FakeQuantized


@dataclass(frozen=True)
class DistillOptions:
    """Attributes:
    epochs: passes over the training photos.
    batch: photos for one step.
    step_rate: Adam's rate for weights, in int8 steps.
    bias_rate: Adam's rate for biases, as a share of the layer's output step.
    held_out: every how many-th photo is held out.
    smallest_crop: the least side of a cut, as a share of the photo's.
    seed: of the cuts and the order.
    """

    epochs: int = 20
    batch: int = 10
    step_rate: float = 0.02
    bias_rate: float = 0.05
    held_out: int = 5
    smallest_crop: float = 0.6
    features: float = 1.0
    seed: int = 0


def distill(
    quantized: QuantizedGraph,
    teacher: Graph,
    images: NDArray[np.uint8],
    options: DistillOptions = DistillOptions(),  # noqa: B008 (frozen)
    progress: Progress = silent,
    device: str = "cpu",
    log=None,
) -> QuantizedGraph:
    """The quantized graph after fine-tuning, or the one given where held-out photos do not get better.

    Args:
        quantized: where to start.
        teacher: the float graph with the same tensors.
        images: calibration photos, uint8 RGB [n, H, W, 3].
    """
    student = FakeQuantized(quantized).to(device)
    held = np.arange(len(images)) % options.held_out == 0
    randomness = np.random.default_rng(options.seed)
    marks = landmark_tensors(teacher)
    optimizer = torch.optim.Adam(_parameters(student, options), betas=(0.9, 0.99))
    train = images[~held]
    total = options.epochs * -(-len(train) // options.batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    best = (_held_out_error(student, teacher, images[held], device), copy.deepcopy(student.state_dict()))
    done = 0
    for _ in range(options.epochs):
        order = randomness.permutation(len(train))
        for start in range(0, len(train), options.batch):
            batch = _augment(train[order[start : start + options.batch]], options, randomness)
            loss = _loss(student, teacher, batch, marks, options, device)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            done += 1
            progress("fine-tuning", done, total)
        error = _held_out_error(student, teacher, images[held], device)
        if log: log(_, error, float(loss))
        if error < best[0]:
            best = (error, copy.deepcopy(student.state_dict()))
    student.load_state_dict(best[1])
    return student.finished()


def landmark_tensors(graph: Graph) -> tuple[str, ...]:
    """The tensors to match beside the logits: what additions give, what comes before a depthwise layer's stride, the mean."""
    marks = [n.output for n in graph.nodes if isinstance(n.operator, Binary | Mean)]
    if len(marks) < 3:  # no residuals: the inputs of depthwise layers
        marks += [n.inputs[0] for n in graph.nodes if isinstance(n.operator, DepthwiseConv2D)]
    return tuple(marks)


def _parameters(student: FakeQuantized, options: DistillOptions) -> list[dict[str, object]]:
    groups: list[dict[str, object]] = [{"params": list(student.steps.values()), "lr": options.step_rate}]
    for node in student.quantized.graph.nodes:
        key = student.keys[node.name]
        if key in student.biases:
            step = student.quantized.encodings[node.output].scale
            groups.append({"params": [student.biases[key]], "lr": options.bias_rate * step})
    return groups


def _augment(
    images: NDArray[np.uint8], options: DistillOptions, randomness: np.random.Generator
) -> NDArray[np.uint8]:
    """A random square cut of every photo, scaled back, half of them mirrored."""
    import cv2

    result = np.empty_like(images)
    size = images.shape[1]
    for index, image in enumerate(images):
        side = int(size * randomness.uniform(options.smallest_crop, 1.0))
        top, left = randomness.integers(0, size - side + 1, 2)
        cut = cv2.resize(image[top : top + side, left : left + side], (size, size), interpolation=cv2.INTER_LINEAR)
        result[index] = cut[:, ::-1] if randomness.random() < 0.5 else cut
    return result


def _loss(
    student: FakeQuantized,
    teacher: Graph,
    batch: NDArray[np.uint8],
    marks: tuple[str, ...],
    options: DistillOptions,
    device: str,
) -> Tensor:
    pixels = decode_pixels(teacher, batch).to(device)
    wanted: dict[str, Tensor] = {}
    given: dict[str, Tensor] = {}
    target = run_tensors(teacher, pixels, lambda name, value: wanted.update({name: value}) if name in marks else None)
    logits = student(pixels, lambda name, value: given.update({name: value}) if name in marks else None)
    loss = _relative_error(logits, target)
    if options.features:
        between = torch.stack([_relative_error(given[name], wanted[name]) for name in marks])
        loss = loss + options.features * between.mean()
    divergence = functional.kl_div(logits.log_softmax(1), target.log_softmax(1), log_target=True, reduction="batchmean")
    return loss + divergence


def _relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Noise over signal."""
    wanted = wanted.clone()
    return functional.mse_loss(given, wanted) / wanted.square().mean()


@torch.no_grad()
def _held_out_error(student: FakeQuantized, teacher: Graph, images: NDArray[np.uint8], device: str) -> float:
    errors = []
    for start in range(0, len(images), 10):
        pixels = decode_pixels(teacher, images[start : start + 10]).to(device)
        target = run_tensors(teacher, pixels)
        errors.append(float(_relative_error(student(pixels), target)) * len(pixels))
    return sum(errors) / len(images)
