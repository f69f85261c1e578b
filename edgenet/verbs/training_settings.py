"""How to train: the options of the verb `train`, their numbers where none are given, and the plan they make."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.errors import EdgenetError
from edgenet.training.plan import Plan
from edgenet.training.recipe import Augmentation, Distillation, Recipe
from edgenet.training.student import QatPlan
from edgenet.zoo.loading import load_network

FINE_TUNING = Recipe(
    epochs=10,
    batch=32,
    learning_rate=0.005,
    weight_decay=4e-5,
    warmup_epochs=0.5,
    freeze_epochs=1,
    augmentation=Augmentation(crop_scale=0.5),
)
"""The numbers for a network that knows pictures already, where none are given; `Recipe()` is from scratch."""

QUANTIZATION_AWARE = Recipe(
    epochs=4,
    batch=32,
    learning_rate=0.02,
    weight_decay=0.0,
    warmup_epochs=0.1,
    ema_decay=0.99,
    precision="float32",
    augmentation=Augmentation(crop_scale=0.5),
)
"""Those for quantization-aware training; its learning rate is in steps of int8 (see `adam`)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        recipe: the numbers; None for `FINE_TUNING` with `pretrained`, else for `Recipe()`.
        pretrained: "imagenet", or a file of weights of the same architecture and width.
        teacher: a network that knows the same classes, to be learned from.
        hold_out: share of every class to validate with, where the data has no part for it.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: bytes for photos in memory; None for half of what is free.
        qat: for quantization-aware training of `pretrained`, which is also the teacher unless there is another.
    """

    recipe: Recipe | None = None
    pretrained: str | None = None
    teacher: str | None = None
    distillation: Distillation = Distillation()  # noqa: RUF009 (frozen)
    hold_out: float = 0.1
    device: str = "auto"
    memory: int | None = None
    qat: QatPlan | None = None


def first_recipe(options: TrainingOptions) -> Recipe:
    """The numbers where none are given."""
    if options.qat is not None:
        return QUANTIZATION_AWARE
    return FINE_TUNING if options.pretrained else Recipe()


def training_plan(variant: str | None, data: Path, options: TrainingOptions) -> Plan:
    """Everything that decides what the training does.

    Raises:
        EdgenetError: options that do not go together; with `qat` and no variant, a checkpoint that cannot be read.
    """
    recipe = options.recipe or first_recipe(options)
    if options.qat is not None:
        _check_qat(options, recipe)
    if variant is None:
        variant = load_network(options.pretrained or "").variant.name
    teacher = options.teacher or (options.pretrained if options.qat else None)
    return Plan(
        variant=variant,
        data=str(data),
        recipe=recipe,
        distillation=options.distillation,
        pretrained=options.pretrained,
        teacher=teacher,
        hold_out=options.hold_out,
        device=options.device,
        memory=options.memory,
        qat=options.qat,
    )


def _check_qat(options: TrainingOptions, recipe: Recipe) -> None:
    if options.pretrained is None:
        raise EdgenetError(
            "--qat refines a network that was trained already", "give its checkpoint with --pretrained"
        )
    if options.pretrained.lower().endswith((".tflite", ".edgenet")):
        raise EdgenetError(
            f"{options.pretrained} is no checkpoint: its weights cannot be trained",
            "give --pretrained the .safetensors that it was made from",
        )
    refused = {
        "--progressive": recipe.progressive,
        "--freeze-epochs": recipe.freeze_epochs > 0,
        "--weight-decay": recipe.weight_decay > 0,
        "--precision": recipe.precision != "float32",
    }
    for name, given in refused.items():
        if given:
            raise EdgenetError(
                f"{name} does not go with --qat, which trains int8 steps in float32", f"leave out {name}"
            )
