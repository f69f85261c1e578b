"""The options of a training, which `edgenet train`, `edgenet sweep` and `edgenet select` share, in groups."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from edgenet.commands.options import Recipe
from edgenet.commands.typer_command import checked, usage_errors

if TYPE_CHECKING:
    from edgenet.workflows.train import TrainingOptions

Pretrained = Annotated[
    str | None,
    typer.Option(
        "--pretrained",
        metavar="imagenet|FILE",
        help="Start from ImageNet weights or from FILE (a checkpoint, or a Keras model or float .tflite of one of our "
        "networks), for the same architecture and width. The last layer is new unless the classes are the same.",
    ),
]
FreezeEpochs = Annotated[
    int | None,
    typer.Option(
        "--freeze-epochs",
        min=0,
        help="Number of epochs at the start that train only the last layer.",
        show_default="0; 1 with pretrained weights, 0 with --qat",
    ),
]
Teacher = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        help="Checkpoint of a larger network for the same classes, to learn from (distillation).",
    ),
]
TeacherWeight = Annotated[
    float | None,
    typer.Option(
        "--teacher-weight",
        help="Weight of the teacher in the loss, 0 to 1; the labels have the rest.",
        show_default="0.7",
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", help="Softmax temperature of the distillation.", show_default="2"),
]
Qat = Annotated[
    bool,
    typer.Option(
        "--qat",
        help="Do quantization-aware training: train the int8 network of the checkpoint given with --pretrained. The "
        "checkpoint is also the teacher unless --teacher is given.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        min=1,
        show_default="30; 10 with pretrained weights, 4 with --qat",
        help="Number of passes over the training photos.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=2,
        show_default="128; 32 with pretrained weights",
        help="Batch size: photos per step, over all processes together.",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        show_default="0.1; 0.005 with pretrained weights, 0.02 with --qat",
        help="Peak learning rate, reached after the warm-up.",
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        show_default="1e-4; 4e-5 with pretrained weights, 0 with --qat",
        help="Weight decay of all weights except depthwise filters, batch normalization and biases.",
    ),
]
WarmupEpochs = Annotated[
    float | None,
    typer.Option(
        "--warmup-epochs",
        show_default="1; 0.5 with pretrained weights, 0.1 with --qat",
        help="Epochs of linear learning-rate warm-up.",
    ),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(
        "--label-smoothing", show_default="0.1", help="Share of the target that is spread over all classes."
    ),
]
EmaDecay = Annotated[
    float | None,
    typer.Option(
        "--ema-decay",
        show_default="0.999; 0.99 with --qat",
        help="Decay of the weights' moving average. The average is what is saved; 0 turns it off.",
    ),
]
Progressive = Annotated[
    bool,
    typer.Option(
        "--progressive",
        help="Train faster: the first 40 % of the epochs at half the resolution, the next 30 % at three quarters.",
    ),
]
Balance = Annotated[
    bool, typer.Option("--balance", help="Show every class equally often, however many photos it has.")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"] | None,
    typer.Option(
        "--precision",
        show_default="auto; float32 with --qat",
        help="Number format of the training; auto is bfloat16 on a GPU that supports it, else float32.",
    ),
]
Seed = Annotated[
    int | None, typer.Option("--seed", min=0, show_default="0", help="Seed of all random choices.")
]
CropScale = Annotated[
    float | None,
    typer.Option(
        "--crop-scale",
        show_default="0.35; 0.5 with pretrained weights",
        help="Smallest share of a photo's area that a random crop shows.",
    ),
]
NoFlip = Annotated[
    bool, typer.Option("--no-flip", help="Never mirror photos; use this for letters and signs.")
]
Colour = Annotated[
    float | None,
    typer.Option(
        "--colour",
        show_default="0.2",
        help="Colour jitter: 0.2 varies brightness, contrast and saturation by up to 20 %.",
    ),
]
Mixup = Annotated[
    float | None,
    typer.Option(
        "--mixup",
        show_default="0",
        help="Mixup: alpha for blending pairs of photos, 0 for none; 0.2 is usual for long trainings.",
    ),
]
HoldOut = Annotated[
    float | None,
    typer.Option(
        "--hold-out",
        show_default="0.1",
        help="Share of each class held out for validation, if the data has no val or test folder.",
    ),
]


def _check_device(text: str) -> None:
    from edgenet.training.recipe import check_device_name

    check_device_name(text)


Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|mps|cuda|cuda:N",
        parser=checked(_check_device),
        show_default="auto",
        help="Device to train on; auto is a CUDA GPU if there is one, else an Apple GPU (mps), else the CPU. "
        "cuda:N chooses one GPU of several.",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory",
        min=0,
        show_default="half of the available memory",
        help="Memory for decoded photos, in GB.",
    ),
]


@dataclass(frozen=True)
class StartOptions:
    """The weights that training starts from, and the teacher."""

    pretrained: Pretrained = None
    freeze_epochs: FreezeEpochs = None
    teacher: Teacher = None
    teacher_weight: TeacherWeight = None
    temperature: Temperature = None


@dataclass(frozen=True)
class QatOptions:
    """Whether to train the int8 network, and the recipe that it starts from.

    Raises:
        BadParameter: --recipe was given without --qat.
    """

    qat: Qat = False
    recipe: Recipe = None

    def __post_init__(self) -> None:
        if self.recipe is not None and not self.qat:
            raise typer.BadParameter("--recipe needs --qat")


@dataclass(frozen=True)
class RecipeOptions:
    """The hyperparameters of the training."""

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


@dataclass(frozen=True)
class AugmentationOptions:
    """The augmentation of the training photos."""

    crop_scale: CropScale = None
    no_flip: NoFlip = False
    colour: Colour = None
    mixup: Mixup = None


@dataclass(frozen=True)
class RunOptions:
    """The device, the memory, and the share of photos held out."""

    hold_out: HoldOut = None
    device: Device = None
    memory: Memory = None


@dataclass(frozen=True)
class AllTrainOptions:
    """All options of a training except its network, photos and folder."""

    start: StartOptions = StartOptions()
    numbers: RecipeOptions = RecipeOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    run: RunOptions = RunOptions()

    def check(self, qat: bool) -> None:
        """Check that the options fit together.

        Args:
            qat: whether the int8 network is trained.

        Raises:
            typer.BadParameter: two options contradict each other.
        """
        start = self.start
        if not qat:
            if start.teacher is None and not (start.teacher_weight is None and start.temperature is None):
                raise typer.BadParameter("--teacher-weight and --temperature need --teacher")
            return
        if start.pretrained is None:
            raise typer.BadParameter(
                "--qat refines an already trained network; give its checkpoint with --pretrained"
            )
        refused = {
            "--progressive": self.numbers.progressive,
            "--freeze-epochs": bool(start.freeze_epochs),
            "--weight-decay": bool(self.numbers.weight_decay),
            "--precision": self.numbers.precision not in (None, "float32"),
        }
        for name, given in refused.items():
            if given:
                raise typer.BadParameter(
                    f"{name} does not go with --qat, which trains int8 steps in float32; leave out {name}"
                )

    def anything_given(self) -> bool:
        """Return whether any of these options was given."""
        groups = (getattr(self, group.name) for group in fields(self))
        values = (getattr(group, field.name) for group in groups for field in fields(group))
        return any(value is not None and value is not False for value in values)

    def as_options(self, qat: QatOptions = QatOptions()) -> TrainingOptions:
        """Return the options as `edgenet.train` takes them; its defaults are used for options not given.

        Args:
            qat: whether the int8 network is trained, and from which recipe.

        Raises:
            typer.BadParameter: a value is out of range.
        """
        from edgenet.workflows.train import TrainingOptions

        groups = (self.start, qat, self.numbers, self.augmentation, self.run)
        values = {
            name: value for group in groups for name, value in asdict(group).items() if value is not None
        }
        with usage_errors():
            return TrainingOptions(**values)
