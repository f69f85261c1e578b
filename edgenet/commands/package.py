"""What devices are given: `edgenet package` packs a bundle, and `edgenet export-scripts` writes the scripts to copy.

`edgenet new-key` makes keys to sign bundles with, and `edgenet publish` a folder from which devices fetch updates.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import (
    accuracy_text,
    megabytes,
    note_skipped,
    print_json,
    say,
    shown_progress,
    warn,
)
from edgenet.commands.options import LABELLED_PHOTOS, JsonFlag, Labels, Normalization, output_file

if TYPE_CHECKING:
    from edgenet.workflows.package import ExportedScripts, Packed
    from edgenet.workflows.publish import Published


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
    typer.Option(
        "--float-source", help="The float network of a quantized model, to measure it too; needs --data."
    ),
]
Sign = Annotated[
    Path | None,
    typer.Option(
        "--sign", metavar="KEY", help="Sign the bundle with this private key; edgenet new-key makes one."
    ),
]


def package_command(
    model: Model,
    out: Out = None,
    labels: Labels = None,
    normalization: Normalization = None,
    data: Data = None,
    float_source: FloatSource = None,
    sign: Sign = None,
    json_output: JsonFlag = False,
) -> None:
    """Pack a .tflite file with its labels into a bundle.

    Image classifiers of every maker are packed as they are. A model that has no labels of its own needs --labels, and
    one that takes float32 without saying what its pixels go through needs --normalization. With --data the bundle also
    states the accuracy measured on these photos. With --sign, MODEL may also be a finished bundle: a signed copy of it
    is written.
    """
    if float_source is not None and data is None:
        raise typer.BadParameter("--float-source needs --data PHOTOS to measure the accuracy on")
    with shown_progress() as progress:
        from edgenet.workflows.package import package

        result = package(
            model,
            out,
            labels=labels,
            normalization=normalization,
            data=data,
            float_source=float_source,
            sign=sign,
            progress=progress,
        )
    note_skipped(result.skipped)
    warn(result.warnings)
    print_json(result) if json_output else _print_bundle(result)


def _print_bundle(result: Packed) -> None:
    manifest = result.manifest
    say(f"{result.out}: {megabytes(Path(result.out).stat().st_size)}")
    for name, member in sorted(manifest.members.items()):
        say(f"  {name:<13} {member.size:>9} bytes  SHA-256 {member.sha256[:16]}...")
    if manifest.accuracy:
        say(f"  {accuracy_text(manifest.accuracy)}")
    if result.signed_by and manifest.signed_at is not None:
        say(f"  signed by the key {result.signed_by} at {_time(manifest.signed_at)}")


def _time(seconds: int) -> str:
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


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
    from edgenet.workflows.package import export_scripts

    result = export_scripts(folder)
    print_json(result) if json_output else _print_folder(result)


def _print_folder(result: ExportedScripts) -> None:
    say(f"{result.folder}: {len(result.files)} files, {len(result.written)} of them new or updated")
    for name in result.removed:
        say(f"removed {name}, which an earlier version of edgenet had written")
    folder = Path(result.folder).resolve()
    say(f"""\
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


Bundle = Annotated[Path, typer.Argument(help="The bundle (.edgenet) that devices shall fetch.")]
UpdatesFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder to write, which a web server hands out by https.")
]
SignWith = Annotated[
    Path,
    typer.Option(
        "--sign", metavar="KEY", help="Sign the bundle with this private key; edgenet new-key makes one."
    ),
]


def publish_command(
    bundle: Bundle, folder: UpdatesFolder, sign: SignWith, json_output: JsonFlag = False
) -> None:
    """Publish a bundle for devices that fetch their updates.

    It becomes the newest update of a folder. It is signed now, so devices take it for newer than every earlier one. Any
    web server that speaks https can hand out the folder. edgenet deploy --updates URL lets a device look there.
    """
    with shown_progress():
        from edgenet.workflows.publish import publish

        result = publish(bundle, folder, sign=sign)
    print_json(result) if json_output else _print_published(result)


def _print_published(result: Published) -> None:
    say(f"published {result.bundle}, signed by the key {result.signed_by}, SHA-256 {result.sha256[:16]}...")
    say(f"index {result.index} names it as the newest")
    say(
        f"hand out {result.folder} by https, then: edgenet deploy BUNDLE --on DEVICE --updates https://HOST/FOLDER"
    )


KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file to write the private key into.")]


def new_key_command(file: KeyFile, json_output: JsonFlag = False) -> None:
    """Make a key pair to sign bundles with.

    FILE gets the private key, which only you can read, and FILE.pub the public key, which devices are given. Neither
    file is ever overwritten.
    """
    from edgenet.workflows.publish import new_key

    pair = new_key(file)
    if json_output:
        print_json(pair)
        return
    say(f"{pair.private}: the private key of {pair.name}; keep it to yourself, and keep a copy")
    say(f"{pair.public}: the public key")
    say(f"sign a bundle:    edgenet package MODEL --sign {pair.private}")
    say(f"trust the key:    edgenet deploy BUNDLE --on DEVICE --trust {pair.public}")
