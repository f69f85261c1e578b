"""`edgenet export-scripts`: write the folder of scripts to copy to a device."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json
from edgenet.commands.options import JsonFlag

if TYPE_CHECKING:
    from edgenet.workflows.export_scripts import ExportedScripts

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="The folder to write: a new or an empty one, or one that holds an earlier export."
    ),
]


def export_scripts_command(folder: Folder, json_output: JsonFlag = False) -> None:
    """Write the folder of scripts to copy to a device.

    The folder runs there without edgenet. It is for devices that edgenet cannot reach: `edgenet deploy` copies the same
    scripts and installs the packages that they need.
    """
    from edgenet.workflows.export_scripts import export_scripts

    result = export_scripts(folder)
    print_json(result) if json_output else _print(result)


def _print(result: ExportedScripts) -> None:
    typer.echo(f"{result.folder}: {len(result.files)} files, {len(result.written)} of them new or updated")
    for name in result.removed:
        typer.echo(f"removed {name}, which an earlier version of edgenet had written")
    folder = Path(result.folder).resolve()
    typer.echo(f"""\
Copy the folder and a model to the device:
  scp -r {shlex.quote(str(folder))} MODEL.edgenet pi@raspberrypi.local:
On a Raspberry Pi, install the packages once (on a 32-bit one, tflite-runtime instead of ai-edge-litert):
  sudo apt install python3-venv python3-numpy python3-opencv
  python3 -m venv --system-site-packages environment
  environment/bin/pip install --no-deps ai-edge-litert
On another machine with Python 3.9 or later:
  pip install ai-edge-litert opencv-python-headless
Then classify what the camera sees:
  environment/bin/python {shlex.quote(folder.name)}/camera.py MODEL.edgenet 0""")
