"""`edgenet new-key`: make a key pair to sign bundles with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.commands.console import print_json, say
from edgenet.commands.options import JsonFlag

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file to write the private key into.")]


def new_key_command(file: KeyFile, json_output: JsonFlag = False) -> None:
    """Make a key pair to sign bundles with.

    FILE gets the private key, which only you can read, and FILE.pub the public key, which devices are given. Neither
    file is ever overwritten.
    """
    from edgenet.workflows.keys import new_key

    pair = new_key(file)
    if json_output:
        print_json(pair)
        return
    say(f"{pair.private}: the private key of {pair.name}; keep it to yourself, and keep a copy")
    say(f"{pair.public}: the public key")
    say(f"sign a bundle:    edgenet package MODEL --sign {pair.private}")
    say(f"trust the key:    edgenet deploy BUNDLE --on DEVICE --trust {pair.public}")
