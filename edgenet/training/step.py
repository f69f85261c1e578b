"""One training step: forward and backward pass, sum of the gradients over the processes, and update of the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from edgenet.training.ema import update
from edgenet.training.learner import Learner, change
from edgenet.training.loader import Batch, Share
from edgenet.training.processes import sum_over
from edgenet.training.randomness import Purpose, seed_torch
from edgenet.training.recipe import Distillation, Recipe
from edgenet.training.sgd import forget_gradients
from edgenet.training.small_maps import FastSmallMaps
from edgenet.training.targets import Teacher, label_loss, mix, teacher_loss, total_loss


@dataclass(frozen=True)
class Setting:
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
    share: Share


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


def train_step(
    learner: Learner, batch: Batch, setting: Setting, epoch: int, rate: float, stop: bool = False
) -> StepResult:
    """Train the learner on one batch.

    Args:
        learner: it is changed in place.
        batch: this process's part of the step's photos.
        setting: the settings of the training.
        epoch: the epoch, from 0.
        rate: the learning rate.
        stop: whether this process was asked to stop; it is sent to all processes together with the gradients.
    """
    seed_torch(setting.recipe.seed, Purpose.NETWORK, epoch, batch.step, setting.share.process)
    forget_gradients(learner.network)
    with FastSmallMaps():
        loss, correct = loss_of(learner, batch, setting, epoch)
    loss = loss / batch.photos
    loss.backward()
    figures = torch.stack([loss.detach().float(), correct.float(), torch.tensor(float(stop)).to(loss.device)])
    _share_out(learner, figures, setting.share)
    change(learner, rate)
    update(learner.average, learner.network, setting.recipe.ema_decay, learner.updates)
    learner.updates += 1
    mean, right, stopping = figures.tolist()
    return StepResult(mean, round(right), stopping > 0)


def loss_of(learner: Learner, batch: Batch, setting: Setting, epoch: int) -> tuple[Tensor, Tensor]:
    """Return the loss summed over this process's photos, and how many of them were classified correctly."""
    recipe = setting.recipe
    labels = batch.labels.to(setting.device, non_blocking=True)
    # Permuting NHWC memory to NCHW gives the channels_last layout without a copy.
    pixels = batch.pixels.to(setting.device, non_blocking=True).permute(0, 3, 1, 2).float()
    mixed = mix(pixels, labels, recipe.augmentation.mixup, (recipe.seed, epoch, batch.step))
    normalized = learner.network.normalization(mixed.pixels)
    with torch.autocast(setting.device.type, torch.bfloat16, enabled=uses_bfloat16(setting)):
        logits = learner.network(normalized)
        wanted = setting.teacher(mixed.pixels).float() if setting.teacher else None
    logits = logits.float()
    to_labels = label_loss(logits, labels, mixed, recipe.label_smoothing)
    to_teacher = None if wanted is None else teacher_loss(logits, wanted, setting.distillation.temperature)
    right = logits.argmax(dim=1) == (labels if mixed.share >= 0.5 else mixed.others)
    return total_loss(to_labels, to_teacher, setting.distillation), right.sum()


def uses_bfloat16(setting: Setting) -> bool:
    """Return whether to compute in bfloat16.

    On a CPU it is used only on request, because most CPUs emulate it, many times slower.
    """
    if setting.recipe.precision != "auto":
        return setting.recipe.precision == "bfloat16"
    return setting.device.type == "cuda" and torch.cuda.is_bf16_supported()


def _share_out(learner: Learner, figures: Tensor, share: Share) -> None:
    """Sum gradients and figures over the processes, and average the batch normalization statistics.

    Every process then makes the same update and holds the same statistics.
    """
    if share.processes == 1:
        return
    gradients = [p.grad for p in learner.network.parameters() if p.grad is not None]
    statistics = [buffer for buffer in learner.network.buffers() if buffer.is_floating_point()]
    for statistic in statistics:
        statistic /= share.processes
    sum_over([*gradients, *statistics, figures], share)
