"""`edgenet collect` brings the photos over that a camera has kept in the field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from edgenet_device.foreign_text import one_line

from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.options import JsonFlag, on_option

if TYPE_CHECKING:
    from edgenet.workflows.collect import Collected

CollectOn = Annotated[str, on_option("local", "ssh")]
Data = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder of the class folders that the photos come into."),
]
KeptIn = Annotated[
    str | None,
    typer.Option(
        "--kept-in",
        metavar="DIR",
        show_default="where its service keeps them",
        help="The device's folder of kept photos, as camera.py --keep-in names it.",
    ),
]
Remove = Annotated[
    bool,
    typer.Option(
        "--remove", help="Remove the photos on the device after both copies were compared by checksum."
    ),
]


def collect_command(
    on: CollectOn,
    data: Data,
    kept_in: KeptIn = None,
    remove: Remove = False,
    json_output: JsonFlag = False,
) -> None:
    """Bring over the photos that a camera kept in the field.

    The camera keeps photos that its network is unsure of, or that a person corrects on the live page, if it runs with
    --keep-uncertain. Corrected ones go to DIR/CLASS, the others to DIR/unlabelled, which edgenet train does not use:
    move each into the folder of its class. No photo comes twice, and no file is overwritten.
    """
    with shown_progress() as progress:
        from edgenet.workflows.collect import collect

        result = collect(data, on, kept_in=kept_in, remove=remove, progress=progress)
    print_json(result) if json_output else _print(result)


def _print(result: Collected) -> None:
    before = f"; {result.known} had come before" if result.known else ""
    photos = "1 new photo" if result.new == 1 else f"{result.new} new photos"
    say(f"{result.target}: {photos} in {result.folder}{before}")
    for label, count in result.labelled.items():
        say(f"  {count} in {one_line(label)}, as somebody said on the page")
    for thought, count in result.unlabelled.items():
        say(f"  {count} in unlabelled/{one_line(thought)}, as the network thought; move each into its class")
    if result.removed:
        say(f"removed on {result.target}: {result.removed}")
    warn(result.notes)
