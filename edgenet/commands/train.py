"""`edgenet train`: train a network on a folder of photos."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.commands.console import (
    JsonFlag,
    console,
    interval_text,
    note_skipped,
    print_json,
    shown_progress,
)
from edgenet.commands.options import flatten_option_groups

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.training.interrupt import TrainingStopped
    from edgenet.training.recipe import Augmentation, Distillation, Recipe
    from edgenet.training.student import QatPlan
    from edgenet.training.validation import ClassRow
    from edgenet.workflows.train import TrainingOptions
    from edgenet.workflows.training_result import Int8Training, Training


Variant = Annotated[
    str | None,
    typer.Argument(help="Network to train, as architecture_width_resolution, such as mobilenet_v2_0.35_96."),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder or zip of photos in class folders; these may be inside train and val (or test) folders.",
    ),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the checkpoint, log and figures.")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Continue the training in this folder; no other option is needed."),
]
# With more classes than this, the table on the screen leaves some out.
SHOWN_CLASSES = 30
# ==== edgenet.cli.train_options
# The options of `edgenet train`, grouped in dataclasses.

Pretrained = Annotated[
    str | None,
    typer.Option(
        "--pretrained",
        metavar="imagenet|FILE",
        help="Start from ImageNet weights or from a checkpoint FILE, for the same architecture and width. The last "
        "layer is new unless the classes are the same.",
    ),
]
FreezeEpochs = Annotated[
    int | None,
    typer.Option(
        "--freeze-epochs",
        min=0,
        help="Number of epochs at the start that train only the last layer.",
        show_default="0; 1 with --pretrained, 0 with --qat",
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
QatRecipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        help="Quantization recipe that --qat starts from: minmax, fast, balanced or best.",
        show_default="balanced",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        min=1,
        show_default="30; 10 with --pretrained, 4 with --qat",
        help="Number of passes over the training photos.",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=2,
        show_default="128; 32 with --pretrained",
        help="Batch size: photos per step, over all processes together.",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        show_default="0.1; 0.005 with --pretrained, 0.02 with --qat",
        help="Peak learning rate, reached after the warm-up.",
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        show_default="1e-4; 4e-5 with --pretrained, 0 with --qat",
        help="Weight decay of all weights except depthwise filters, batch normalization and biases.",
    ),
]
WarmupEpochs = Annotated[
    float | None,
    typer.Option(
        "--warmup-epochs",
        show_default="1; 0.5 with --pretrained, 0.1 with --qat",
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
    str | None,
    typer.Option(
        "--precision",
        metavar="auto|float32|bfloat16",
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
        show_default="0.35; 0.5 with --pretrained",
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
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda",
        show_default="auto",
        help="Device to train on; auto is a GPU if there is one, else the CPU. cuda:N chooses one GPU of several.",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory", min=0, show_default="half of the free memory", help="Memory for decoded photos, in GB."
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
        """Return what quantization-aware training starts from, or None without --qat."""
        if not self.qat:
            return None
        from edgenet.quantize.recipes import DEFAULT_RECIPE
        from edgenet.training.student import QatPlan

        return QatPlan(self.recipe or DEFAULT_RECIPE)

    def distillation(self) -> Distillation:
        """Return the distillation options as `edgenet.train` takes them."""
        from edgenet.training.recipe import Distillation

        return replace(Distillation(), **_given(weight=self.teacher_weight, temperature=self.temperature))


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

    def over(self, base: Recipe, freeze_epochs: int | None, augmentation: Augmentation) -> Recipe:
        """Return `base` with the options given here in place of its values."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(base, **_given(**given, freeze_epochs=freeze_epochs, augmentation=augmentation))


@dataclass(frozen=True)
class AugmentationOptions:
    """The augmentation of the training photos."""

    crop_scale: CropScale = None
    no_flip: NoFlip = False
    colour: Colour = None
    mixup: Mixup = None

    def over(self, base: Augmentation) -> Augmentation:
        """Return `base` with the options given here in place of its values."""
        given = _given(crop_scale=self.crop_scale, colour=self.colour, mixup=self.mixup)
        return replace(base, flip=not self.no_flip, **given)


@dataclass(frozen=True)
class RunOptions:
    """The device, the memory, and the share of photos held out."""

    hold_out: HoldOut = None
    device: Device = None
    memory: Memory = None


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class AllTrainOptions:
    """All options of a training except its network, photos and folder."""

    start: StartOptions = StartOptions()
    numbers: RecipeOptions = RecipeOptions()
    augmentation: AugmentationOptions = AugmentationOptions()
    run: RunOptions = RunOptions()

    def anything_given(self) -> bool:
        """Return whether any of these options was given."""
        groups = (getattr(self, group.name) for group in fields(self))
        values = (getattr(group, field.name) for group in groups for field in fields(group))
        return any(value is not None and value is not False for value in values)

    def as_options(self) -> TrainingOptions:
        """Return the options as `edgenet.train` takes them, with its defaults for options not given."""
        from edgenet.workflows.train import TrainingOptions, first_recipe

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


@flatten_option_groups
def train_command(
    variant: Variant = None,
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    training: AllTrainOptions = AllTrainOptions(),
    json_output: JsonFlag = False,
) -> None:
    """Train a network on class folders of photos.

    Training starts from random weights, or with --pretrained from ImageNet weights or a checkpoint; --qat trains the
    int8 network of a checkpoint. The folder --out gets the checkpoint (which convert and evaluate take; with --qat a
    .tflite file instead), log.csv, curve.png, classes.csv and confusion.png. After Ctrl-C, a crash or a power cut,
    --resume continues the training from the state saved in that folder.
    """
    _check(variant, data, out, resume, training)

    def say(line: str) -> None:
        typer.echo(line, err=json_output)

    with shown_progress(photos_per_s=True) as progress:
        from edgenet.training.interrupt import TrainingStopped
        from edgenet.workflows.train import resume_training, train

        try:
            if resume is not None:
                result = resume_training(resume, data, progress, say)
            else:
                assert data is not None
                assert out is not None
                result = train(variant, data, out, training.as_options(), progress, say)
        except TrainingStopped as stopped:
            raise _interrupted(stopped) from None
    if result is not None:  # of several processes only the first has a result
        note_skipped(result.skipped)
        print_json(result) if json_output else _print(result)


def _check(
    variant: str | None, data: Path | None, out: Path | None, resume: Path | None, training: AllTrainOptions
) -> None:
    if resume is None:
        for name, value in (("VARIANT", variant), ("--data", data), ("--out", out)):
            if value is None and not (name == "VARIANT" and training.start.qat):
                raise typer.BadParameter(f"give {name}, or --resume RUN to continue a training")
    elif variant is not None or out is not None or training.anything_given():
        raise typer.BadParameter(
            "--resume keeps the options the training began with; of the others give at most --data"
        )


def _interrupted(stopped: TrainingStopped) -> typer.Exit:
    typer.echo(f"edgenet: {stopped.found}; {stopped.remedy}", err=True)
    return typer.Exit(130)


def _print(result: Training) -> None:
    source = "held out" if result.held_out else "of the validation part"
    screen = console()
    screen.print(classes_table(result.classes))
    top5 = "" if result.top5 is None else f", top-5 {result.top5:.2f} %"
    typer.echo(
        f"top-1 {result.top1:.2f} % on {result.n} photos {source} "
        f"(95 % interval {interval_text(result.top1_interval)}){top5}"
    )
    typer.echo(
        f"{result.photos_per_s:.0f} photos/s; the network waited for photos {result.waiting:.1f} % of the time"
    )
    if result.int8 is not None:
        _print_int8(result.int8)
    typer.echo(f"{result.out}: {result.variant}, {len(result.classes)} classes")
    for path in result.files:
        typer.echo(f"  {path}")


def _print_int8(found: Int8Training) -> None:
    rows = zip(("float", f"int8, {found.recipe}", "int8, trained"), found.evaluation.models, strict=True)
    for name, row in rows:
        typer.echo(
            f"  {name:15} top-1 {row.top1:.2f} % (95 % interval {interval_text(row.top1_interval)}), {row.runtime}"
        )
    typer.echo(
        f"compared with the file that training started from ({found.start}), the trained file: {found.verdict}"
    )
    if found.against_start.drop > 0:
        typer.echo(
            "the trained file gets fewer photos right than the file it started from, so keep the latter"
        )
    same = found.sameness
    typer.echo(
        f"trained network and int8 file: same answer on {same.same_answer} of {same.n} photos, "
        f"logits at most {same.largest_steps:g} steps apart"
    )


def classes_table(rows: tuple[ClassRow, ...]) -> Table:
    """Return a table with a row per class; if there are too many, only those with the lowest recall, lowest first."""
    from rich import box
    from rich.table import Table

    shown = rows
    if len(rows) > SHOWN_CLASSES:
        shown = tuple(sorted(rows, key=lambda row: row.recall if row.recall is not None else -1))
        shown = shown[:SHOWN_CLASSES]
    hidden = f"{len(rows) - len(shown)} classes with higher recall are in classes.csv"
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        caption=hidden if len(shown) < len(rows) else None,
    )
    table.add_column("class", overflow="fold")
    for heading in ("trained\nwith", "photos", "recall\n%", "precision\n%"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("most often\ntaken for", overflow="fold")
    for row in shown:
        figures = ("" if value is None else f"{value:.1f}" for value in (row.recall, row.precision))
        table.add_row(row.name, str(row.training_photos), str(row.photos), *figures, row.taken_for or "")
    return table
