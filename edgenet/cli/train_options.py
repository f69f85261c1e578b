"""The options of `edgenet train`, in groups."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgenet.training.recipe import Augmentation, Distillation, Recipe
    from edgenet.training.student import QatPlan
    from edgenet.verbs.training_settings import TrainingOptions

Pretrained = Annotated[
    str | None,
    typer.Option(
        "--pretrained",
        metavar="imagenet|FILE",
        help="Start from weights of the same architecture and width, with a new last layer for your classes.",
    ),
]
FreezeEpochs = Annotated[
    int | None,
    typer.Option(
        "--freeze-epochs",
        min=0,
        help="So many epochs at first train the last layer alone.",
        show_default="1 with --pretrained, else 0",
    ),
]
Teacher = Annotated[
    str | None, typer.Option("--teacher", help="Checkpoint of a network for the same classes, to learn from.")
]
TeacherWeight = Annotated[
    float | None,
    typer.Option("--teacher-weight", help="The teacher's share of the loss, 0 to 1.", show_default="0.7"),
]
Temperature = Annotated[
    float | None, typer.Option("--temperature", help="Of distillation.", show_default="2")
]
Qat = Annotated[
    bool,
    typer.Option(
        "--qat",
        help="Quantization-aware: train the int8 network of the checkpoint --pretrained, which also teaches it.",
    ),
]
QatRecipe = Annotated[
    str | None,
    typer.Option("--recipe", help="What --qat starts from, as in convert.", show_default="balanced"),
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, show_default="30, with --pretrained 10, with --qat 4", help="How many."),
]
Batch = Annotated[
    int | None,
    typer.Option("--batch", min=2, show_default="128, with --pretrained 32", help="Photos a step."),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate", show_default="0.1, with --pretrained 0.005, with --qat 0.02", help="The highest."
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        show_default="1e-4, with --pretrained 4e-5, with --qat 0",
        help="Of all but depthwise filters, batch normalization and biases.",
    ),
]
WarmupEpochs = Annotated[
    float | None,
    typer.Option(
        "--warmup-epochs",
        show_default="1, with --pretrained 0.5, with --qat 0.1",
        help="The learning rate rises.",
    ),
]
LabelSmoothing = Annotated[
    float | None, typer.Option("--label-smoothing", show_default="0.1", help="Of the targets.")
]
EmaDecay = Annotated[
    float | None,
    typer.Option("--ema-decay", show_default="0.999, with --qat 0.99", help="Of the average of the weights."),
]
Progressive = Annotated[
    bool,
    typer.Option("--progressive", help="40 % of the epochs at half the resolution, 30 % at 3/4: faster."),
]
Balance = Annotated[bool, typer.Option("--balance", help="Show every class equally often.")]
Precision = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="auto|float32|bfloat16",
        show_default="auto",
        help="auto: bfloat16 on a GPU that has it.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, show_default="0", help="Of all that is random.")]
CropScale = Annotated[
    float | None,
    typer.Option(
        "--crop-scale",
        show_default="0.35, with --pretrained 0.5",
        help="Smallest share of a photo that a crop shows.",
    ),
]
NoFlip = Annotated[bool, typer.Option("--no-flip", help="Never mirror, as for letters and signs.")]
Colour = Annotated[
    float | None,
    typer.Option("--colour", show_default="0.2", help="How far brightness, contrast, saturation vary."),
]
Mixup = Annotated[
    float | None,
    typer.Option("--mixup", show_default="0", help="Mix photos; 0.2 is usual for long trainings."),
]

HoldOut = Annotated[
    float | None,
    typer.Option(
        "--hold-out", show_default="0.1", help="Share to validate with, where the data has no part for it."
    ),
]
Device = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda", show_default="auto", help="Where to compute."),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory", min=0, show_default="half of what is free", help="GB for decoded photos in memory."
    ),
]


@dataclass(frozen=True)
class StartOptions:
    """What the network knows at the beginning, and whom it learns from."""

    pretrained: Pretrained = None
    freeze_epochs: FreezeEpochs = None
    teacher: Teacher = None
    teacher_weight: TeacherWeight = None
    temperature: Temperature = None
    qat: Qat = False
    recipe: QatRecipe = None

    def __post_init__(self) -> None:
        if self.recipe is not None and not self.qat:
            raise typer.BadParameter("--recipe needs --qat")
        if (
            self.teacher is None
            and not self.qat
            and (self.teacher_weight is not None or self.temperature is not None)
        ):
            raise typer.BadParameter("--teacher-weight and --temperature need --teacher")

    def qat_plan(self) -> QatPlan | None:
        """What quantization-aware training starts from; None without it."""
        if not self.qat:
            return None
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.training.student import QatPlan

        return QatPlan(self.recipe or DEFAULT_RECIPE)

    def distillation(self) -> Distillation:
        """As the verb takes it."""
        from edgenet.training.recipe import Distillation

        return replace(Distillation(), **_given(weight=self.teacher_weight, temperature=self.temperature))


@dataclass(frozen=True)
class RecipeOptions:
    """The numbers of the training."""

    epochs: Epochs = None
    batch: Batch = None
    learning_rate: LearningRate = None
    weight_decay: WeightDecay = None
    warmup_epochs: WarmupEpochs = None
    label_smoothing: LabelSmoothing = None
    ema_decay: EmaDecay = None
    progressive: Progressive = False
    balance: Balance = False
    precision: Precision = None
    seed: Seed = None

    def over(self, base: Recipe, freeze_epochs: int | None, augmentation: Augmentation) -> Recipe:
        """The recipe with what was given in place of its own numbers."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(base, **_given(**given, freeze_epochs=freeze_epochs, augmentation=augmentation))


@dataclass(frozen=True)
class AugmentationOptions:
    """How photos vary."""

    crop_scale: CropScale = None
    no_flip: NoFlip = False
    colour: Colour = None
    mixup: Mixup = None

    def over(self, base: Augmentation) -> Augmentation:
        """The augmentation with what was given in place of its own numbers."""
        given = _given(crop_scale=self.crop_scale, colour=self.colour, mixup=self.mixup)
        return replace(base, flip=not self.no_flip, **given)


@dataclass(frozen=True)
class RunOptions:
    """Where it computes, and with which share of the photos."""

    hold_out: HoldOut = None
    device: Device = None
    memory: Memory = None


@dataclass(frozen=True)
class AllTrainOptions:
    """Everything that one training can be told, but its network, photos and folder."""

    start: StartOptions = StartOptions()
    numbers: RecipeOptions = RecipeOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    run: RunOptions = RunOptions()

    def anything_given(self) -> bool:
        """Whether a single one was given."""
        groups = (getattr(self, group.name) for group in fields(self))
        values = (getattr(group, field.name) for group in groups for field in fields(group))
        return any(value is not None and value is not False for value in values)

    def as_options(self) -> TrainingOptions:
        """What was not given is as for `train`."""
        from edgenet.verbs.training_settings import TrainingOptions, first_recipe

        start, run = self.start, self.run
        qat = start.qat_plan()
        base = first_recipe(TrainingOptions(pretrained=start.pretrained, qat=qat))
        augmentation = self.augmentation.over(base.augmentation)
        return TrainingOptions(
            recipe=self.numbers.over(base, start.freeze_epochs, augmentation),
            pretrained=start.pretrained,
            teacher=start.teacher,
            distillation=start.distillation(),
            qat=qat,
            memory=None if run.memory is None else round(run.memory * 1e9),
            **_given(hold_out=run.hold_out, device=run.device),
        )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
