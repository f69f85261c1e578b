"""What a training was asked to do, as it travels into its state file and back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgenet.training.photos import TrainingPhotos
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.student import QatPlan


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a training does.

    Attributes:
        variant: its name.
        data: the path of the photos as it was given.
        recipe: the numbers.
        distillation: how much the teacher counts.
        pretrained: "imagenet", a file of weights, or None for random ones.
        teacher: a variant with ImageNet weights or a file of weights, None for no teacher.
        hold_out: share of every class to validate with, where the data has no part for it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: bytes for photos in memory, None for half of what is free; changes nothing but the speed.
        qat: for quantization-aware training of `pretrained`; None for a float network.
    """

    variant: str
    data: str
    recipe: Recipe
    distillation: Distillation
    pretrained: str | None = None
    teacher: str | None = None
    hold_out: float = 0.1
    device: str = "auto"
    memory: int | None = None
    qat: QatPlan | None = None


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan in JSON's types."""
    return asdict(plan)


def plan_from_json(values: Mapping[str, Any]) -> Plan:
    """What `plan_to_json` gave, as a plan.

    Raises:
        KeyError, TypeError, EdgenetError: it is something else.
    """
    recipe = dict(values["recipe"])
    recipe["augmentation"] = Augmentation(**recipe["augmentation"])
    changed = {"recipe": Recipe(**recipe), "distillation": Distillation(**values["distillation"])}
    qat = values.get("qat")
    return Plan(**{**values, **changed, "qat": QatPlan(**qat) if qat else None})


def data_digest(photos: TrainingPhotos) -> str:
    """SHA-256 over the photos' contents and classes in their order, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for content, label in zip(photos.contents, photos.labels, strict=True):
        digest.update(content + int(label).to_bytes(4, "little"))
    return digest.hexdigest()
