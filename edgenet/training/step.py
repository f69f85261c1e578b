"""One training step: forward and backward pass, sum of the gradients over the processes, and update of the weights.

The loss is the label loss, with label smoothing and mixup, and in distillation the loss towards the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor
from torch.overrides import TorchFunctionMode

from edgenet.data.labels import matching_outputs
from edgenet.errors import EdgenetError
from edgenet.training.learner import Learner, channels_last, forget_gradients, update_average, update_weights
from edgenet.training.loader import Batch, Purpose, generator, seed_torch
from edgenet.training.machine import bfloat16_on, runs_ahead
from edgenet.training.processes import ProcessShare, SynchronizedNorm, sum_over
from edgenet.training.recipe import Distillation, Recipe
from edgenet.zoo.checkpoint import LoadedNetwork
from edgenet.zoo.classifier import Normalization


def train_step(
    learner: Learner, batch: Batch, settings: StepSettings, epoch: int, rate: float, stop: bool = False
) -> Tensor:
    """Train the learner on one batch, without waiting for a GPU to finish.

    Args:
        learner: it is changed in place.
        batch: this process's part of the step's photos.
        settings: the settings of the training.
        epoch: the epoch, from 0.
        rate: the learning rate.
        stop: whether this process was asked to stop; it is sent to all processes together with the gradients.

    Returns:
        the step's figures, float32 [3] on the device, which `read_results` reads.
    """
    seed_torch(settings.recipe.seed, Purpose.NETWORK, epoch, batch.step, settings.share.process)
    forget_gradients(learner.network)
    # With one process there is nothing to synchronize, and asking so at each of torch's functions takes a while.
    synchronized = SynchronizedNorm(settings.share) if settings.share.processes > 1 else nullcontext()
    with FastSmallMaps(), synchronized:
        loss, correct = loss_of(learner, batch, settings, epoch)
    loss = loss / batch.photos
    loss.backward()
    figures = torch.stack(
        [loss.detach().float(), correct.float(), loss.new_full((), float(stop), dtype=torch.float32)]
    )
    _sum_over_processes(learner, figures, settings.share)
    update_weights(learner, rate)
    update_average(learner.average, learner.network, settings.recipe.ema_decay, learner.updates)
    learner.updates += 1
    return figures


def read_results(figures: Sequence[Tensor]) -> list[StepResult]:
    """Return the results of steps from what `train_step` returned; on a GPU this waits until they are computed."""
    rows = torch.stack(list(figures)).tolist() if figures else []
    return [StepResult(mean, round(right), stopping > 0) for mean, right, stopping in rows]


def loss_of(learner: Learner, batch: Batch, settings: StepSettings, epoch: int) -> tuple[Tensor, Tensor]:
    """Return the loss summed over this process's photos, and how many of them were classified correctly."""
    recipe = settings.recipe
    labels = batch.labels.to(settings.device, non_blocking=True)
    # Permuting NHWC memory to NCHW gives the channels_last layout without a copy.
    pixels = batch.pixels.to(settings.device, non_blocking=True).permute(0, 3, 1, 2).float()
    mixed = mix(pixels, labels, recipe.augmentation.mixup, (recipe.seed, epoch, batch.step))
    normalized = normalize(mixed.pixels, learner.network.normalization)
    mixed_precision = (
        torch.autocast(settings.device.type, torch.bfloat16) if uses_bfloat16(settings) else nullcontext()
    )
    with mixed_precision:
        logits = learner.network(normalized)
        teacher_logits = settings.teacher(mixed.pixels).float() if settings.teacher else None
    logits = logits.float()
    to_labels = label_loss(logits, labels, mixed, recipe.label_smoothing)
    to_teacher = None
    if teacher_logits is not None:
        to_teacher = teacher_loss(logits, teacher_logits, settings.distillation.temperature)
    right = logits.argmax(dim=1) == (labels if mixed.share >= 0.5 else mixed.others)
    return total_loss(to_labels, to_teacher, settings.distillation), right.sum()


def normalize(pixels: Tensor, normalization: Normalization) -> Tensor:
    """Do the same as `normalization(pixels)`; on a GPU the constants are copied there only once.

    A copy from ordinary memory would wait for the GPU in every step.
    """
    if not runs_ahead(pixels.device):
        return normalization(pixels)
    mean, std = _constants(tuple(normalization.mean), tuple(normalization.std), pixels.device)
    return (pixels - mean) / std


@cache
def _constants(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    first, second = (torch.tensor(values, device=device).reshape(1, 3, 1, 1) for values in (mean, std))
    return first, second


def uses_bfloat16(settings: StepSettings) -> bool:
    """Return whether to compute in bfloat16."""
    return bfloat16_on(settings.device, settings.recipe.precision)


def _sum_over_processes(learner: Learner, figures: Tensor, share: ProcessShare) -> None:
    """Sum gradients and figures over the processes, so that every process makes the same update.

    The batch normalization statistics are the same already (see `SynchronizedNorm`).
    """
    gradients = [p.grad for p in learner.network.parameters() if p.grad is not None]
    sum_over([*gradients, figures], share)


@dataclass(frozen=True)
class StepSettings:
    """The settings that stay the same in all steps.

    Attributes:
        recipe: the training recipe.
        distillation: how much the teacher counts.
        teacher: the network to learn from; None for no teacher.
        device: the device of this process.
        share: this process's share of each batch.
    """

    recipe: Recipe
    distillation: Distillation
    teacher: Teacher | None
    device: torch.device
    share: ProcessShare


@dataclass(frozen=True)
class StepResult:
    """One step's figures, over all processes.

    Attributes:
        loss: the loss, averaged over the photos.
        correct: the number of photos whose best class is right; in mixup, the label with the larger share counts.
        stop: whether any process was asked to stop.
    """

    loss: float
    correct: int
    stop: bool


def mix(pixels: Tensor, labels: Tensor, strength: float, place: tuple[int, int, int]) -> MixedTargets:
    """Apply mixup (arXiv 1710.09412, section 2), with one share for the batch drawn from Beta(strength, strength).

    Args:
        pixels: float RGB [n,3,size,size].
        labels: the class indices, int64 [n].
        strength: the parameter of the Beta distribution; 0 turns mixup off.
        place: seed, epoch and step of the training.
    """
    if not strength:
        return MixedTargets(pixels, labels, 1.0)
    rng = generator(place[0], Purpose.MIXUP, *place[1:])
    share = float(rng.beta(strength, strength))
    partner = torch.from_numpy(rng.permutation(len(labels)))
    if runs_ahead(labels.device):
        partner = partner.pin_memory()
    partner = partner.to(labels.device, non_blocking=True)
    return MixedTargets(torch.lerp(pixels[partner], pixels, share), labels[partner], share)


@dataclass(frozen=True)
class MixedTargets:
    """Photos that are each blended with another photo of the batch (mixup).

    Attributes:
        pixels: the blended photos, float RGB [n,3,size,size].
        others: the labels of the photos blended in, int64 [n].
        share: the weight of the original photos; the photos blended in have the weight 1 - share.
    """

    pixels: Tensor
    others: Tensor
    share: float


def label_loss(logits: Tensor, labels: Tensor, mixed: MixedTargets, smoothing: float) -> Tensor:
    """Return the cross-entropy with smoothed labels, summed over the photos.

    Args:
        logits: the network's outputs [n,classes].
        labels: the class indices of the original photos, int64 [n].
        mixed: the blended photos, whose second labels count by their share.
        smoothing: the share of the target that is spread over all classes.
    """
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    if mixed.share == 1:
        return loss
    other = F.cross_entropy(logits, mixed.others, label_smoothing=smoothing, reduction="sum")
    return mixed.share * loss + (1 - mixed.share) * other


def teacher_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(softmax(teacher / T) || softmax(student / T)), summed over the photos.

    The factor T^2 keeps the gradients as large as those of the label loss. Source: arXiv 1503.02531, section 2.

    Args:
        logits: the student's logits [n,classes].
        teacher: the teacher's logits [n,classes].
        temperature: T.
    """
    student, target = (F.log_softmax(values / temperature, dim=1) for values in (logits, teacher))
    return temperature**2 * F.kl_div(student, target, reduction="sum", log_target=True)


def total_loss(to_labels: Tensor, to_teacher: Tensor | None, distillation: Distillation) -> Tensor:
    """Return the weighted sum of the label loss and the teacher loss, or the label loss if there is no teacher."""
    if to_teacher is None:
        return to_labels
    return (1 - distillation.weight) * to_labels + distillation.weight * to_teacher


Teacher = Callable[[Tensor], Tensor]
"""A function from float RGB [n,3,size,size] in 0..255 to logits [n,classes], in the order of the student's classes."""


def teacher_of(loaded: LoadedNetwork, labels: tuple[str, ...], device: torch.device) -> Teacher:
    """Return a network as a teacher for the student's classes.

    The teacher gets the same crops as the student (arXiv 2106.05237), at its own resolution.

    Args:
        loaded: the teacher's network.
        labels: the student's classes; the teacher must know all of them, in any order.
        device: the device that the teacher runs on.

    Raises:
        EdgenetError: the teacher lacks a class.
    """
    outputs = matching_outputs(labels, loaded.labels)
    lacking = [label for label, output in zip(labels, outputs, strict=True) if output is None]
    if lacking:
        raise EdgenetError(
            f"the teacher {loaded.variant.name} knows {len(loaded.labels)} classes, but not {', '.join(lacking[:3])}",
            "train the teacher on the same class folders first",
        )
    network = channels_last(loaded.with_pixels().to(device)).eval()
    positions = torch.tensor([output for output in outputs if output is not None], device=device)
    size = loaded.variant.resolution

    @torch.no_grad()
    def logits(pixels: Tensor) -> Tensor:
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear")
        return network(pixels)[:, positions]

    return logits


Pair = tuple[int, int]


class FastSmallMaps(TorchFunctionMode):
    """A context manager that speeds up, on CPUs, training depthwise convolutions over maps smaller than their filter.

    For such maps oneDNN has no fast kernel for the weight gradient: it takes 100 times as long on 2x2 maps as on 4x4
    maps (256 channels, 128 photos, torch 2.13). The weight gradient is a sum over the map, so zeros added around the
    map do not change it. With enough zeros the map is large enough for the fast kernel.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is F.conv2d and not kwargs and len(args) == 7:
            x, weight, bias, stride, padding, dilation, groups = args
            if _is_slow(x, weight, stride, padding, dilation, groups):
                return _DepthwiseConv.apply(x, weight, bias, _pair(stride), _pair(padding))
        return function(*args, **(kwargs or {}))


def _is_slow(x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int) -> bool:
    """Return whether a convolution is depthwise and its map too small for oneDNN's fast kernel."""
    depthwise = groups > 1 and groups == x.shape[1] == weight.shape[0]
    ours = x.device.type == "cpu" and x.dtype == weight.dtype and not torch.is_autocast_enabled("cpu")
    plain = ours and not isinstance(padding, str) and _pair(dilation) == (1, 1)
    return depthwise and plain and any(_missing(x, weight, _pair(stride)))


class _DepthwiseConv(torch.autograd.Function):
    """A depthwise convolution whose weight gradient is computed on a map that zeros make large enough."""

    @staticmethod
    def forward(
        context: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        context.save_for_backward(x, weight)
        context.stride, context.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = context.saved_tensors
        common = (context.stride, context.padding, (1, 1), False, (0, 0), len(weight))
        backward = torch.ops.aten.convolution_backward
        to_x = to_weight = to_bias = None
        of_x, of_weight, of_bias = context.needs_input_grad[:3]
        (gradient,) = gradients
        if of_x:
            to_x = backward(gradient, x, weight, None, *common, (True, False, False))[0]
        if of_weight:
            rows, columns = _missing(x, weight, context.stride)
            wide = F.pad(x, (0, columns, 0, rows))
            wide_gradient = _widen(gradient, wide, weight, context.stride, context.padding)
            to_weight = backward(wide_gradient, wide, weight, None, *common, (False, True, False))[1]
        if of_bias:
            to_bias = gradient.sum((0, 2, 3))
        return to_x, to_weight, to_bias, None, None


def _widen(gradient: Tensor, wide: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Return the output gradient, with zeros added for the outputs that only the widened map has."""
    height, width = (
        (wide.shape[i] + 2 * padding[i - 2] - weight.shape[i]) // stride[i - 2] + 1 for i in (2, 3)
    )
    return F.pad(gradient, (0, width - gradient.shape[3], 0, height - gradient.shape[2]))


def _missing(x: Tensor, weight: Tensor, stride: Pair) -> Pair:
    """Return how many rows and columns must be added to the map for oneDNN's fast kernel to apply."""
    rows, columns = (max(weight.shape[i] + stride[i - 2] - 1 - x.shape[i], 0) for i in (2, 3))
    return rows, columns


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
