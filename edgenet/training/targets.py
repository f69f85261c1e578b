"""The loss: distance to the labels, softened and mixed, and to a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from edgenet.training.randomness import Purpose, generator
from edgenet.training.recipe import Distillation

Teacher = Callable[[Tensor], Tensor]
"""Float RGB [n,3,size,size] in 0..255 to logits [n,classes], in the order of the student's classes."""


@dataclass(frozen=True)
class Mixed:
    """Photos that are each mixed with another: `share` of itself and the rest of `others`.

    Attributes:
        pixels: float RGB [n,3,size,size].
        others: the labels of the other photos, int64 [n].
    """

    pixels: Tensor
    others: Tensor
    share: float


def mix(pixels: Tensor, labels: Tensor, strength: float, place: tuple[int, int, int]) -> Mixed:
    """mixup (arXiv 1710.09412, section 2): one share for the batch from Beta(strength, strength).

    Args:
        pixels: float RGB [n,3,size,size].
        place: seed, epoch and step of the training.
    """
    if not strength:
        return Mixed(pixels, labels, 1.0)
    rng = generator(place[0], Purpose.MIXUP, *place[1:])
    share = float(rng.beta(strength, strength))
    partner = torch.from_numpy(rng.permutation(len(labels))).to(labels.device)
    return Mixed(torch.lerp(pixels[partner], pixels, share), labels[partner], share)


def label_loss(logits: Tensor, labels: Tensor, mixed: Mixed, smoothing: float) -> Tensor:
    """Cross-entropy with smoothed labels, summed over the photos.

    Args:
        logits: [n,classes].
        labels: int64 [n].
    """
    loss = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    if mixed.share == 1:
        return loss
    other = F.cross_entropy(logits, mixed.others, label_smoothing=smoothing, reduction="sum")
    return mixed.share * loss + (1 - mixed.share) * other


def teacher_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T^2 KL(teacher / T || student / T), summed over the photos (arXiv 1503.02531, section 2).

    The factor T^2 keeps the gradients at the size of the labels'.

    Args:
        logits: the student's [n,classes].
        teacher: the teacher's [n,classes].
    """
    student, wanted = (F.log_softmax(values / temperature, dim=1) for values in (logits, teacher))
    return temperature**2 * F.kl_div(student, wanted, reduction="sum", log_target=True)


def total_loss(to_labels: Tensor, to_teacher: Tensor | None, distillation: Distillation) -> Tensor:
    """Both losses in their shares; that to the labels alone where there is no teacher."""
    if to_teacher is None:
        return to_labels
    return (1 - distillation.weight) * to_labels + distillation.weight * to_teacher
