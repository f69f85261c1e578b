"""Signed updates: `edgenet new-key` makes the keys, `edgenet publish` the folder from which devices fetch updates."""

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
