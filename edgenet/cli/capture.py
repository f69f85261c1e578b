"""`edgenet capture`: labelled photos from a device's own camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.cli.camera import On
from edgenet.cli.console import JsonFlag, print_json

Label = Annotated[str, typer.Argument(help="The class; its photos go to DIR/LABEL.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder of the class folders.")]
Source = Annotated[str, typer.Option(help="Camera, video, folder or URL, as the device sees it.")]
Every = Annotated[
    float | None, typer.Option(min=0, max=60, metavar="S", help="A photo every S seconds, not at a key.")
]
Count = Annotated[int | None, typer.Option(min=1, help="Stop after so many photos.")]


def command(
    label: Label,
    data: Data,
    on: On = "local",
    source: Source = "0",
    every: Every = None,
    count: Count = None,
    json_output: JsonFlag = False,
) -> None:
    """Collect photos of a class, to train with: at the press of a key or every S seconds.

    Blurred photos and those like one that is there already are left out.
    """
    from edgenet.verbs.capture import CaptureOptions, capture

    options = CaptureOptions(source, every, count)
    result = capture(label, data, on, options, lambda line: typer.echo(line, err=json_output))
    if json_output:
        print_json(result)
    else:
        typer.echo(f"{result.kept} photos kept; {result.folder} has {result.photos}")
