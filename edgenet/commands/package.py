"""`edgenet package`: pack a .tflite file into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import accuracy_text, megabytes, note_skipped, print_json, shown_progress
from edgenet.commands.options import LABELLED_PHOTOS, JsonFlag, Labels, output_file

if TYPE_CHECKING:
    from edgenet.workflows.package import Packed

Model = Annotated[Path, typer.Argument(help="The .tflite file to pack.")]
Out = Annotated[
    Path | None,
    output_file(
        ".edgenet",
        help="Path of the bundle to write. By default MODEL's name with the ending .edgenet.",
    ),
]
Data = Annotated[Path | None, typer.Option("--data", help=LABELLED_PHOTOS)]
FloatSource = Annotated[
    str | None,
    typer.Option("--float-source", help="The float network, to measure its accuracy too; needs --data."),
]


def package_command(
    model: Model,
    out: Out = None,
    labels: Labels = None,
    data: Data = None,
    float_source: FloatSource = None,
    json_output: JsonFlag = False,
) -> None:
    """Pack a .tflite file with its labels into a bundle.

    A model that has no labels of its own needs --labels. With --data the bundle also states the accuracy measured on
    these photos.
    """
    if float_source is not None and data is None:
        raise typer.BadParameter("--float-source needs --data PHOTOS to measure the accuracy on")
    with shown_progress() as progress:
        from edgenet.workflows.package import package

        result = package(model, out, labels=labels, data=data, float_source=float_source, progress=progress)
    note_skipped(result.skipped)
    print_json(result) if json_output else _print(result)


def _print(result: Packed) -> None:
    manifest = result.manifest
    typer.echo(f"{result.out}: {megabytes(Path(result.out).stat().st_size)}")
    for name, member in sorted(manifest.members.items()):
        typer.echo(f"  {name:<13} {member.size:>9} bytes  SHA-256 {member.sha256[:16]}...")
    if manifest.accuracy:
        typer.echo(f"  {accuracy_text(manifest.accuracy)}")
