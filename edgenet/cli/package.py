"""`edgenet package`: a .tflite file into a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.cli.console import JsonFlag, megabytes, print_json, shown_progress

Model = Annotated[Path, typer.Argument(help="The .tflite file.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="The bundle; by default MODEL's name with .edgenet.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="Class names, one per line, if the model has none.")]
Data = Annotated[Path | None, typer.Option("--data", help="Labelled photos to measure the accuracy on.")]
Float = Annotated[str | None, typer.Option("--float-source", help="The float network, measured beside it.")]


def command(
    model: Model,
    out: Out = None,
    labels: Labels = None,
    data: Data = None,
    float_source: Float = None,
    json_output: JsonFlag = False,
) -> None:
    """Pack a .tflite file with its labels, its card and checksums into a bundle."""
    from edgenet.verbs.package import package

    target = out or model.with_suffix(".edgenet")
    with shown_progress() as progress:
        manifest = package(model, target, labels, data, float_source, progress)
    if json_output:
        print_json(manifest)
        return
    typer.echo(f"{target}: {megabytes(target.stat().st_size)}")
    for name, member in sorted(manifest.members.items()):
        typer.echo(f"  {name:<13} {member.size:>9} bytes  SHA-256 {member.sha256[:16]}...")
