"""What the user asked a training to do, and how the state file stores it."""

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
    """Every choice that decides what a training does.

    Attributes:
        variant: the variant's name.
        data: the path of the photos, as the user gave it.
        recipe: the training recipe.
        distillation: how much the teacher counts.
        pretrained: "imagenet" or a file of weights to start from; None for random weights.
        teacher: a variant with ImageNet weights or a file of weights; None for no teacher.
        hold_out: share of every class to validate with, if the data has no validation split.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: bytes for photos in memory; None for half of the free memory. It changes only the speed.
        qat: the settings of quantization-aware training of `pretrained`; None to train a float network.
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
    """Return the plan as values that JSON can store."""
    return asdict(plan)


def plan_from_json(values: Mapping[str, Any]) -> Plan:
    """Return the plan that `plan_to_json` stored.

    Raises:
        KeyError, TypeError, EdgenetError: the values are not those of a plan.
    """
    recipe = dict(values["recipe"])
    recipe["augmentation"] = Augmentation(**recipe["augmentation"])
    changed = {"recipe": Recipe(**recipe), "distillation": Distillation(**values["distillation"])}
    qat = values.get("qat")
    return Plan(**{**values, **changed, "qat": QatPlan(**qat) if qat else None})


def data_digest(photos: TrainingPhotos) -> str:
    """Return the SHA-256 over the photos' contents and class indices, in order, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for content, label in zip(photos.contents, photos.labels, strict=True):
        digest.update(content + int(label).to_bytes(4, "little"))
    return digest.hexdigest()
