"""The options of the verb `train`, the default training recipes, and the plan that they make."""

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
"""The default recipe for fine-tuning a pretrained network; from scratch, the default is `Recipe()`."""

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
"""The default recipe for quantization-aware training; its learning rate is in int8 steps (see `adam`)."""


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        recipe: the training recipe; None for the default (see `first_recipe`).
        pretrained: weights to start from: "imagenet", or a file of weights of the same architecture and
            width.
        teacher: a network with the same classes to learn from by distillation.
        distillation: how to learn from the teacher.
        hold_out: share of every class to hold out for validation, if the data has no validation folder.
        device: "auto", "cpu", "cuda" or "cuda:N".
        memory: memory for keeping photos, bytes; None for half of the free memory.
        qat: for quantization-aware training of `pretrained`, which is also the teacher unless `teacher` is
            given.
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
    """Return the default recipe for these options."""
    if options.qat is not None:
        return QUANTIZATION_AWARE
    return FINE_TUNING if options.pretrained else Recipe()


def training_plan(variant: str | None, data: Path, options: TrainingOptions) -> Plan:
    """Return the plan, which contains everything that decides what the training does.

    Raises:
        EdgenetError: the options contradict each other, or with `qat` and no variant the checkpoint cannot be
            read.
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
            "--qat refines an already trained network", "give its checkpoint with --pretrained"
        )
    if options.pretrained.lower().endswith((".tflite", ".edgenet")):
        raise EdgenetError(
            f"{options.pretrained} is not a checkpoint, so its weights cannot be trained",
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
