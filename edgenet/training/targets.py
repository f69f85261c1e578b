"""The training loss: the label loss, with label smoothing and mixup, and the teacher loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from edgenet.training.randomness import Purpose, generator
from edgenet.training.recipe import Distillation

Teacher = Callable[[Tensor], Tensor]
"""A function from float RGB [n,3,size,size] in 0..255 to logits [n,classes], in the order of the student's classes."""


@dataclass(frozen=True)
class Mixed:
    """Photos that are each blended with another photo of the batch (mixup).

    Attributes:
        pixels: the blended photos, float RGB [n,3,size,size].
        others: the labels of the photos blended in, int64 [n].
        share: the weight of the original photos; the photos blended in have the weight 1 - share.
    """

    pixels: Tensor
    others: Tensor
    share: float


def mix(pixels: Tensor, labels: Tensor, strength: float, place: tuple[int, int, int]) -> Mixed:
    """Apply mixup (arXiv 1710.09412, section 2), with one share for the batch drawn from Beta(strength, strength).

    Args:
        pixels: float RGB [n,3,size,size].
        labels: the class indices, int64 [n].
        strength: the parameter of the Beta distribution; 0 turns mixup off.
        place: seed, epoch and step of the training.
    """
    if not strength:
        return Mixed(pixels, labels, 1.0)
    rng = generator(place[0], Purpose.MIXUP, *place[1:])
    share = float(rng.beta(strength, strength))
    partner = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
    return Mixed(torch.lerp(pixels[partner], pixels, share), labels[partner], share)


def label_loss(logits: Tensor, labels: Tensor, mixed: Mixed, smoothing: float) -> Tensor:
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
    student, wanted = (F.log_softmax(values / temperature, dim=1) for values in (logits, teacher))
    return temperature**2 * F.kl_div(student, wanted, reduction="sum", log_target=True)


def total_loss(to_labels: Tensor, to_teacher: Tensor | None, distillation: Distillation) -> Tensor:
    """Return the weighted sum of the label loss and the teacher loss, or the label loss if there is no teacher."""
    if to_teacher is None:
        return to_labels
    return (1 - distillation.weight) * to_labels + distillation.weight * to_teacher
