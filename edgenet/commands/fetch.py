"""`edgenet fetch`: bring official ImageNet weights to this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from edgenet.commands.console import log_to, print_json, say, shown_progress
from edgenet.commands.options import JsonFlag

Names = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Variants, such as mobilenet_v2_0.5_224; a tag after a colon chooses among several weights of a variant "
        "(mobilenet_v2_0.5_224:keras). `all` means the weights of every variant.",
    ),
]
Origin = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FOLDER|URL",
        help="Take the files from this folder or from a server with copies of them, instead of the official addresses.",
    ),
]


def fetch_command(names: Names, origin: Origin = None, json_output: JsonFlag = False) -> None:
    """Download official ImageNet weights.

    Trainings and conversions then need no network. `edgenet models --weights` lists the weights. Every file is checked
    before it is kept; a download that was interrupted goes on where it stopped. The files go into the cache folder
    (EDGENET_CACHE, or the system's usual place).
    """
    with shown_progress() as progress:
        from edgenet.workflows.fetch import fetch

        fetched = fetch(names, origin=origin, progress=progress, log=log_to(json_output))
    if json_output:
        print_json(fetched)
        return
    for one in fetched:
        state = "fetched" if one.new else "already here"
        say(f"{one.name}: {one.size / 1e6:.1f} MB, {state}: {one.path}")
        say(f"  {one.source}; {one.licence}")
