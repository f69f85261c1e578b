"""`edgenet train --review`: its options, and what is printed of the photos that were moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from edgenet.commands.console import log_to, print_json, say
from edgenet.errors import one_line


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
