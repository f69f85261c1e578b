"""`edgenet capture`: collect labelled photos from a device's own camera."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.cli.camera import On
from edgenet.cli.console import JsonFlag, print_json

Label = Annotated[str, typer.Argument(help="Name of the class. Its photos go to the folder DIR/LABEL.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Folder that holds the class folders.")]
Source = Annotated[
    str,
    typer.Option(
        help="Camera (0, csi or /dev/video0), video, folder of photos or URL, as the device sees it."
    ),
]
Every = Annotated[
    float | None,
    typer.Option(
        min=0, max=60, metavar="S", help="Take a photo every S seconds instead of at each key press."
    ),
]
Count = Annotated[int | None, typer.Option(min=1, help="Stop after this many photos.")]


def command(
    label: Label,
    data: Data,
    on: On = "local",
    source: Source = "0",
    every: Every = None,
    count: Count = None,
    json_output: JsonFlag = False,
) -> None:
    """Collect training photos of one class with a device's camera.

    A photo is taken at each press of the space bar or Enter, or every S seconds. Blurred photos, and photos almost
    equal to one that is already in the folder, are left out.
    """
    from edgenet.verbs.capture import CaptureOptions, capture

    options = CaptureOptions(source, every, count)
    result = capture(label, data, on, options, lambda line: typer.echo(line, err=json_output))
    if json_output:
        print_json(result)
    else:
        typer.echo(f"{result.kept} photos kept; {result.folder} has {result.photos}")
