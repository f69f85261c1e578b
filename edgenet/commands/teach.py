"""`edgenet train` without a network's name: its options, and what it prints about the classifier that it made."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import interval_text, log_to, note_skipped, print_json, say, shown_progress
from edgenet.commands.interrupts import INTERRUPTED
from edgenet.commands.options import ARCHITECTURES, TARGETS, on_option
from edgenet.commands.quick_imports import quick_imports
from edgenet.commands.training_options import (
    AllTrainOptions,
    AugmentationOptions,
    RecipeOptions,
    RunOptions,
    StartOptions,
)
from edgenet.commands.typer_command import checked

if TYPE_CHECKING:
    from edgenet.workflows.teach import Teaching


def _check_architecture(text: str) -> None:
    from edgenet.errors import EdgenetError
    from edgenet.zoo.catalogue import entries_called, find_entry
    from edgenet.zoo.registry import parse_variant

    if text in ARCHITECTURES or entries_called(text):
        return
    try:
        parse_variant(text)  # it may have no weights, if it says what a checkpoint holds
    except EdgenetError:
        find_entry(text)


@dataclass(frozen=True)
class TeachOptions:
    """The options of a training in which edgenet chooses the network and the method."""

    architecture: Annotated[
        str | None,
        typer.Option(
            "--architecture",
            metavar="NAME",
            parser=checked(_check_architecture),
            help="Without VARIANT: the architecture, or a network of `edgenet models --weights`, such as "
            "mobilenet_v1_0.25_224; a tag after a colon chooses its weights. With --pretrained FILE, a checkpoint of "
            "torchvision or timm: what its network is, such as tf_mobilenetv3_small_100.",
            show_default="mobilenet_v2",
        ),
    ] = None
    resolution: Annotated[
        int | None,
        typer.Option(
            "--resolution",
            min=32,
            help="Without VARIANT: width and height of the network's input, in pixels.",
            show_default="chosen by the photos; 160 with --from-scratch",
        ),
    ] = None
    budget_ms: Annotated[
        float | None,
        typer.Option(
            "--budget-ms",
            help="Without VARIANT: largest allowed latency (p50) of one inference on --on, in milliseconds.",
            show_default="no limit",
        ),
    ] = None
    on: Annotated[str | None, on_option(*TARGETS, show_default="local")] = None
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            help="Without VARIANT: about how long everything may take; fine-tuning gets what the other stages leave.",
            show_default="10",
        ),
    ] = None
    no_finetune: Annotated[
        bool,
        typer.Option(
            "--no-finetune",
            help="Without VARIANT: only fit the last layer to the pretrained network's features; this takes seconds.",
        ),
    ] = False
    from_scratch: Annotated[
        bool,
        typer.Option(
            "--from-scratch",
            help="Without VARIANT: train from random weights instead, even where there are ImageNet weights.",
        ),
    ] = False
    no_unknown: Annotated[
        bool,
        typer.Option(
            "--no-unknown",
            help='Without VARIANT: leave out the answer "nothing I know".',
        ),
    ] = False

    def variant(self) -> str:
        """Return the network that --from-scratch trains."""
        return f"{self.architecture or 'mobilenet_v2'}_1.0_{self.resolution or 160}"

    def given(self) -> list[str]:
        """Return the options that were given, as they are typed."""
        return [
            f"--{field.name.replace('_', '-')}"
            for field in fields(self)
            if getattr(self, field.name) not in (None, False)
        ]


def teach_photos(
    data: Path, out: Path, teach: TeachOptions, training: AllTrainOptions, json_output: bool
) -> None:
    """Teach a pretrained network the classes of the photos, and print what was found.

    Raises:
        typer.Exit: the training was stopped by a signal.
        EdgenetError: see `edgenet.teach`.
    """
    with shown_progress(photos_per_s=True) as progress:
        with quick_imports():
            from edgenet.training.processes import TrainingStopped
            from edgenet.workflows.teach import MINUTES
            from edgenet.workflows.teach import teach as run

        try:
            result = run(
                data,
                out,
                pretrained=training.start.pretrained or "imagenet",
                architecture=teach.architecture,
                resolution=teach.resolution,
                budget_ms=teach.budget_ms,
                on=teach.on or "local",
                minutes=MINUTES if teach.minutes is None else teach.minutes,
                finetune=not teach.no_finetune,
                unknown=not teach.no_unknown,
                no_flip=training.augmentation.no_flip,
                seed=training.numbers.seed or 0,
                device=training.run.device or "auto",
                progress=progress,
                log=log_to(json_output),
            )
        except TrainingStopped as stopped:
            say(f"edgenet: {stopped.found}; {stopped.remedy}", err=True)
            raise typer.Exit(INTERRUPTED) from None
    note_skipped(result.account.unreadable)
    print_json(result) if json_output else _print(result)


def check_teaching(teach: TeachOptions, training: AllTrainOptions) -> None:
    """Check that the options fit a training without VARIANT.

    Raises:
        typer.BadParameter: an option needs VARIANT, or two options contradict each other.
    """
    free = replace(
        training,
        start=replace(training.start, pretrained=None),
        numbers=replace(training.numbers, seed=None),
        augmentation=replace(training.augmentation, no_flip=False),
        run=replace(training.run, device=None),
    )
    if free != AllTrainOptions(StartOptions(), RecipeOptions(), AugmentationOptions(), RunOptions()):
        raise typer.BadParameter(
            "without VARIANT, of the options that train a network by name only --pretrained, --seed, --no-flip and "
            "--device can be given; name the network, such as mobilenet_v2_1.0_160, to use the others"
        )
    if teach.on is not None and teach.budget_ms is None:
        raise typer.BadParameter("--on needs --budget-ms")
    others = set(teach.given()) - {"--architecture", "--resolution", "--from-scratch"}
    if teach.from_scratch and others:
        raise typer.BadParameter(f"{sorted(others)[0]} does not go with --from-scratch")
    if teach.from_scratch and teach.architecture not in (None, *ARCHITECTURES):
        raise typer.BadParameter(
            f"--from-scratch needs no weights: give an architecture, not {teach.architecture}"
        )


def _print(result: Teaching) -> None:
    judged, int8, unknown = result.judged, result.int8, result.unknown
    scenes = "" if judged.scenes == judged.photos else f" of {judged.scenes} scenes"
    say(
        f"top-1 {judged.top1:.1f} % of {judged.photos} photos{scenes} "
        f"(95 % interval {interval_text(judged.interval)}), {judged.how}"
    )
    say(
        f"int8, recipe {int8.recipe}: {int8.int8_top1:.1f} % where float has {int8.float_top1:.1f} %, "
        f"{int8.photos} photos"
    )
    if unknown is not None:
        alarms = "" if unknown.false_alarms is None else (
            f"; calls {unknown.false_alarms:.0f} % of {unknown.background} known"
        )  # fmt: skip
        say(f'"{unknown.label}": keeps {unknown.kept:.0f} % of your photos known{alarms}')
    for line in result.account.lines():
        say(line)
    say(f"{result.out}: {result.variant}, {result.method}, {len(result.classes)} classes, int8")
    say(f"  {result.checkpoint}")
    say(f"  {result.report}: look at this page to see what to photograph next")
