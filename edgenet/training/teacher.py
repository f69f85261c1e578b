"""The teacher in distillation: it gets the same crops as the student (arXiv 2106.05237), at its own resolution."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor

from edgenet.data.matching import corresponding
from edgenet.errors import EdgenetError
from edgenet.training.learner import channels_last
from edgenet.training.targets import Teacher
from edgenet.zoo.loaded import LoadedNetwork


def teacher_of(loaded: LoadedNetwork, labels: tuple[str, ...], device: torch.device) -> Teacher:
    """Return a network as a teacher for the student's classes.

    Args:
        loaded: the teacher's network.
        labels: the student's classes; the teacher must know all of them, in any order.
        device: the device that the teacher runs on.

    Raises:
        EdgenetError: the teacher lacks a class.
    """
    outputs = corresponding(labels, loaded.labels)
    lacking = [label for label, output in zip(labels, outputs, strict=True) if output is None]
    if lacking:
        raise EdgenetError(
            f"the teacher {loaded.variant.name} knows {len(loaded.labels)} classes, but not {', '.join(lacking[:3])}",
            "train the teacher on the same class folders first",
        )
    network = channels_last(loaded.with_pixels().to(device)).eval()
    wanted = torch.tensor([output for output in outputs if output is not None], device=device)
    size = loaded.variant.resolution

    @torch.no_grad()
    def logits(pixels: Tensor) -> Tensor:
        if pixels.shape[-1] != size:
            pixels = F.interpolate(pixels, size=(size, size), mode="bilinear")
        return network(pixels)[:, wanted]

    return logits
