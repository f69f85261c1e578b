"""`edgenet train`: train a network on a folder of photos, or move the photos that were ticked on a training's page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import (
    console,
    interval_text,
    log_to,
    note_skipped,
    plain_table,
    print_json,
    say,
    shown_progress,
)
from edgenet.commands.interrupts import INTERRUPTED
from edgenet.commands.options import CLASS_FOLDERS, JsonFlag
from edgenet.commands.quick_imports import quick_imports
from edgenet.commands.teach import TeachOptions, check_teaching, teach_photos
from edgenet.commands.training_options import AllTrainOptions, QatOptions
from edgenet.commands.typer_command import usage_errors
from edgenet.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from edgenet.training.processes import TrainingStopped
    from edgenet.training.validation import ClassRow
    from edgenet.workflows.training_result import Int8Training, Training


Variant = Annotated[
    str | None,
    typer.Argument(
        help="Network to train, as architecture_width_resolution, such as mobilenet_v2_0.35_96. Without it, edgenet "
        "chooses a pretrained network and how to teach it."
    ),
]
Data = Annotated[Path | None, typer.Option("--data", help=CLASS_FOLDERS)]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for everything that the training makes.")
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Continue the training in this folder; no other option is needed."),
]
# With more classes than this, the table on the screen leaves some out.
SHOWN_CLASSES = 30


@dataclass(frozen=True)
class ReviewOptions:
    """The decisions to carry out, and where to list them instead."""

    review: Annotated[
        Path | None,
        typer.Option(
            "--review",
            metavar="REVIEW.JSON",
            help="Train nothing; do what was ticked on the page of a training: move photos in --data to other classes, "
            "or set them aside.",
        ),
    ] = None
    list_file: Annotated[
        Path | None,
        typer.Option(
            "--list",
            metavar="FILE.CSV",
            help="With --review: move nothing, and write the decisions as a list.",
        ),
    ] = None

    def given(self) -> bool:
        """Return whether one of the options was given."""
        return self.review is not None or self.list_file is not None


def train_command(
    variant: Variant = None,
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    review: ReviewOptions = ReviewOptions(),
    teach: TeachOptions = TeachOptions(),  # noqa: B008 (frozen)
    qat: QatOptions = QatOptions(),  # noqa: B008 (frozen)
    training: AllTrainOptions = AllTrainOptions(),  # noqa: B008 (frozen)
    json_output: JsonFlag = False,
) -> None:
    """Train a classifier on class folders of photos.

    With only --data and --out, edgenet teaches a pretrained network the classes of the photos: it chooses resolution,
    method and length by photos that it holds out, and writes a bundle for the device, a checkpoint and report.html.

    With VARIANT, training starts from random weights, or with --pretrained from ImageNet weights or a checkpoint;
    --qat trains the int8 network of a checkpoint. The folder --out gets the checkpoint (which convert and evaluate
    take; with --qat a .tflite file instead), log.csv, curve.png, classes.csv and confusion.png. After Ctrl-C, a crash
    or a power cut, --resume continues the training from the state saved in that folder. --review trains nothing: it
    moves the photos that were ticked on the page of a training.
    """
    if review.given():
        others = (variant, out, resume, teach.given(), qat.qat, training.anything_given())
        return review_photos(review, data, others, json_output)
    if variant is None and resume is None and not qat.qat and data is not None and out is not None:
        check_teaching(teach, training)
        if not teach.from_scratch:
            return teach_photos(data, out, teach, training, json_output)
        variant = teach.variant()
    elif more := [name for name in teach.given() if name != "--architecture" or resume is not None]:
        raise typer.BadParameter(f"{more[0]} is only for a training without VARIANT, --resume and --qat")
    _check(variant, data, out, resume, qat, training)
    architecture = None if teach.from_scratch else teach.architecture
    result = _train(variant, data, out, resume, qat, training, architecture, json_output)
    if result is not None:  # of several processes only the first has a result
        note_skipped(result.skipped)
        print_json(result) if json_output else _print(result)


def _train(
    variant: str | None,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    qat: QatOptions,
    training: AllTrainOptions,
    architecture: str | None,
    json_output: bool,
) -> Training | None:
    """Start or continue a training, and show its progress."""
    with shown_progress(photos_per_s=True) as progress:
        with quick_imports():
            from edgenet.training.processes import TrainingStopped
            from edgenet.workflows.train import resume_training, train

        if variant is not None:
            from edgenet.zoo.registry import parse_variant

            with usage_errors():
                parse_variant(variant)
        log = log_to(json_output)
        try:
            if resume is not None:
                return resume_training(resume, data=data, progress=progress, log=log)
            assert data is not None
            assert out is not None
            with usage_errors():
                options = replace(training.as_options(qat), architecture=architecture)
            return train(variant, data, out, options=options, progress=progress, log=log)
        except TrainingStopped as stopped:
            raise _interrupted(stopped) from None


def _check(
    variant: str | None,
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    qat: QatOptions,
    training: AllTrainOptions,
) -> None:
    if resume is None:
        for name, value in (("--data", data), ("--out", out)):
            if value is None:
                raise typer.BadParameter(f"give {name}, or --resume RUN to continue a training")
        training.check(qat.qat)
    elif variant is not None or out is not None or qat.qat or training.anything_given():
        raise typer.BadParameter(
            "--resume keeps the options the training began with; of the others give at most --data"
        )


def _interrupted(stopped: TrainingStopped) -> typer.Exit:
    say(f"edgenet: {stopped.found}; {stopped.remedy}", err=True)
    return typer.Exit(INTERRUPTED)


def _print(result: Training) -> None:
    source = "held out" if result.held_out else "of the validation part"
    screen = console()
    screen.print(classes_table(result.classes))
    top5 = "" if result.top5 is None else f", top-5 {result.top5:.2f} %"
    say(
        f"top-1 {result.top1:.2f} % on {result.n} photos {source} "
        f"(95 % interval {interval_text(result.top1_interval)}){top5}"
    )
    say(
        f"{result.photos_per_s:.0f} photos/s; the network waited for photos {result.waiting:.1f} % of the time"
    )
    if result.int8 is not None:
        _print_int8(result.int8)
    for line in result.account.lines():
        say(line)
    say(f"{result.out}: {result.variant}, {len(result.classes)} classes")
    for path in result.files:
        say(f"  {path}")


def _print_int8(found: Int8Training) -> None:
    rows = zip(("float", f"int8, {found.recipe}", "int8, trained"), found.evaluation.models, strict=True)
    for name, row in rows:
        say(
            f"  {name:15} top-1 {row.top1:.2f} % (95 % interval {interval_text(row.top1_interval)}), {row.runtime}"
        )
    say(
        f"compared with the file that training started from ({found.start}), the trained file: {found.verdict}"
    )
    if found.against_start.drop > 0:
        say("the trained file gets fewer photos right than the file it started from, so keep the latter")
    same = found.sameness
    say(
        f"trained network and int8 file: same answer on {same.same_answer} of {same.n} photos, "
        f"logits at most {same.largest_steps:g} steps apart"
    )


def classes_table(rows: tuple[ClassRow, ...]) -> Table:
    """Return a table with a row per class; if there are too many, only those with the lowest recall, lowest first."""
    shown = rows
    if len(rows) > SHOWN_CLASSES:
        shown = tuple(sorted(rows, key=lambda row: row.recall if row.recall is not None else -1))
        shown = shown[:SHOWN_CLASSES]
    hidden = f"{len(rows) - len(shown)} classes with higher recall are in classes.csv"
    table = plain_table(
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


def review_photos(
    options: ReviewOptions, data: Path | None, others: Iterable[object], json_output: bool
) -> None:
    """Carry out the decisions and print what was done.

    Args:
        options: the options.
        data: the folder of the photos.
        others: options of training; all must be None or empty.
        json_output: print JSON.
    """
    if any(others):
        raise typer.BadParameter("--review takes only --data, --list and --json")
    if options.review is None:
        raise typer.BadParameter("--list needs --review")
    if data is None and options.list_file is None:
        raise typer.BadParameter("give --data, the folder of the photos, or --list FILE.csv")
    from edgenet.workflows.review import apply_review

    result = apply_review(options.review, data or "", list_file=options.list_file, log=log_to(json_output))
    if json_output:
        return print_json(result)
    if result.listed is not None:
        say(f"{result.listed}: the decisions; no photo was moved")
        return
    before = f"; {result.done_before} had been done before" if result.done_before else ""
    say(f"{len(result.moved)} moved, {len(result.set_aside)} set aside{before}")
    for folder in result.emptied:
        say(
            f"warning: {one_line(folder)} has no photos left; fill it or remove it before the next training",
            err=True,
        )
