"""A network to learn from: it sees the very same crops as the student (arXiv 2106.05237), at its own resolution."""

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
    """The network as a teacher for these classes.

    Args:
        labels: the student's; the teacher must have every one, in any order.

    Raises:
        EdgenetError: the teacher lacks a class.
    """
    outputs = corresponding(labels, loaded.labels)
    lacking = [label for label, output in zip(labels, outputs, strict=True) if output is None]
    if lacking:
        raise EdgenetError(
            f"the teacher {loaded.variant.name} knows {len(loaded.labels)} classes and not {', '.join(lacking[:3])}",
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
