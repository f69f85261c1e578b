"""`edgenet train`: a folder of photos to a network that knows its classes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.cli.console import (
    JsonFlag,
    console,
    interval_text,
    note_skipped,
    print_json,
    shown_progress,
)
from edgenet.cli.option_groups import grouped
from edgenet.cli.train_options import AugmentationOptions, RecipeOptions, StartOptions

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.training.class_table import ClassRow
    from edgenet.training.interrupt import TrainingStopped
    from edgenet.verbs.train_int8 import Int8Training
    from edgenet.verbs.training_result import Training
    from edgenet.verbs.training_settings import TrainingOptions

Variant = Annotated[
    str | None, typer.Argument(help="Such as mobilenet_v2_0.35_96: architecture, width, resolution.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder or zip of class folders, in train and val (or test) folders or not."),
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the checkpoint, log and figures.")]
Resume = Annotated[
    Path | None, typer.Option("--resume", help="Go on with the training in this folder; needs nothing else.")
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

# The most classes of which the table on the screen has a row each.
SHOWN_CLASSES = 30


@grouped
def command(
    variant: Variant = None,
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    start: StartOptions = StartOptions(),  # noqa: B008 (frozen)
    recipe: RecipeOptions = RecipeOptions(),  # noqa: B008
    augmentation: AugmentationOptions = AugmentationOptions(),  # noqa: B008
    hold_out: HoldOut = None,
    device: Device = None,
    memory: Memory = None,
    json_output: JsonFlag = False,
) -> None:
    """Train a network on class folders of photos.

    From scratch, from ImageNet weights or from a checkpoint; --qat trains the int8 network of a checkpoint. The folder
    --out gets the checkpoint (which convert and evaluate take; with --qat the .tflite), log.csv, curve.png,
    classes.csv, confusion.png, and the state that --resume goes on from after Ctrl-C, a crash or a power cut.
    """
    groups = (start, recipe, augmentation)
    _check(variant, data, out, resume, groups, hold_out, device, memory)

    def say(line: str) -> None:
        typer.echo(line, err=json_output)

    with shown_progress(photos_per_s=True) as progress:
        from edgenet.training.interrupt import TrainingStopped
        from edgenet.verbs.train import resume_training, train

        try:
            if resume is not None:
                result = resume_training(resume, data, progress, say)
            else:
                assert data is not None
                assert out is not None
                options = training_options(groups, hold_out, device, memory)
                result = train(variant, data, out, options, progress, say)
        except TrainingStopped as stopped:
            raise _interrupted(stopped) from None
    if result is not None:  # only the first of several processes has one
        note_skipped(result.skipped)
        print_json(result) if json_output else _print(result)


def _check(
    variant: str | None,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    groups: tuple[StartOptions, RecipeOptions, AugmentationOptions],
    *others: object,
) -> None:
    if resume is None:
        for name, value in (("VARIANT", variant), ("--data", data), ("--out", out)):
            if value is None and not (name == "VARIANT" and groups[0].qat):
                raise typer.BadParameter(f"give {name}, or --resume RUN to go on with a training")
        return
    given = [variant, out, *others, *(getattr(g, f.name) for g in groups for f in fields(g))]
    if any(value is not None and value is not False for value in given):
        raise typer.BadParameter("--resume goes on as the training began; give at most --data beside it")


def training_options(
    groups: tuple[StartOptions, RecipeOptions, AugmentationOptions],
    hold_out: float | None,
    device: str | None,
    memory: float | None,
) -> TrainingOptions:
    """As the verb takes them; what was not given is as for `train`."""
    from edgenet.verbs.training_settings import TrainingOptions, first_recipe

    start, recipe, augmentation = groups
    qat = start.qat_plan()
    base = first_recipe(TrainingOptions(pretrained=start.pretrained, qat=qat))
    others: dict[str, Any] = {"hold_out": hold_out, "device": device}
    return TrainingOptions(
        recipe=recipe.over(base, start.freeze_epochs, augmentation.over(base.augmentation)),
        pretrained=start.pretrained,
        teacher=start.teacher,
        distillation=start.distillation(),
        qat=qat,
        memory=None if memory is None else round(memory * 1e9),
        **{name: value for name, value in others.items() if value is not None},
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
        f"{result.photos_per_s:.0f} photos/s; the network waited for photos in {result.waiting:.1f} % of the time"
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
    typer.echo(f"against the file it started from ({found.start}), the trained one {found.verdict}")
    if found.against_start.drop > 0:
        typer.echo("the trained file has fewer photos right than the one it started from: keep that one")
    same = found.sameness
    typer.echo(
        f"trained network and integers: same answer on {same.same_answer} of {same.n} photos, "
        f"logits at most {same.largest_steps:g} steps apart"
    )


def classes_table(rows: tuple[ClassRow, ...]) -> Table:
    """A row for every class, the least recalled first where there are too many to show all."""
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
