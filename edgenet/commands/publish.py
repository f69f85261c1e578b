"""`edgenet publish` writes the folder from which devices fetch their updates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json, say, shown_progress
from edgenet.commands.options import JsonFlag

if TYPE_CHECKING:
    from edgenet.workflows.publish import Published

Bundle = Annotated[Path, typer.Argument(help="The bundle (.edgenet) that devices shall fetch.")]
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder to write, which a web server hands out by https.")
]
Sign = Annotated[
    Path,
    typer.Option(
        "--sign", metavar="KEY", help="Sign the bundle with this private key; edgenet new-key makes one."
    ),
]


def publish_command(bundle: Bundle, folder: Folder, sign: Sign, json_output: JsonFlag = False) -> None:
    """Publish a bundle for devices that fetch their updates.

    It becomes the newest update of a folder. It is signed now, so devices take it for newer than every earlier one. Any
    web server that speaks https can hand out the folder. edgenet deploy --updates URL lets a device look there.
    """
    with shown_progress():
        from edgenet.workflows.publish import publish

        result = publish(bundle, folder, sign=sign)
    print_json(result) if json_output else _print(result)


def _print(result: Published) -> None:
    say(f"published {result.bundle}, signed by the key {result.signed_by}, SHA-256 {result.sha256[:16]}...")
    say(f"index {result.index} names it as the newest")
    say(
        f"hand out {result.folder} by https, then: edgenet deploy BUNDLE --on DEVICE --updates https://HOST/FOLDER"
    )
