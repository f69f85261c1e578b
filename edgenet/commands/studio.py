"""`edgenet studio`: the whole loop in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgenet.commands.console import say
from edgenet.commands.training_options import Pretrained

Folder = Annotated[
    Path, typer.Argument(help="Folder for the photos, the trainings and the bundles; made if missing.")
]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port to serve the page at; 0 takes any free one.",
        show_default="8790",
    ),
]
Host = Annotated[
    str,
    typer.Option(
        "--host",
        help="Address to serve the page at. On any other than this machine's own, the page is served by https and "
        "needs the token in the printed address.",
    ),
]
NoBrowser = Annotated[
    bool, typer.Option("--no-browser", help="Print the page's address, and do not open it in the browser.")
]
Resolution = Annotated[
    int | None,
    typer.Option(
        "--resolution",
        min=32,
        help="Width and height of the network's input, in pixels.",
        show_default="chosen by the photos",
    ),
]


def studio_command(
    folder: Folder = Path("edgenet-studio"),
    port: Port = None,
    host: Host = "127.0.0.1",
    no_browser: NoBrowser = False,
    pretrained: Pretrained = None,
    resolution: Resolution = None,
) -> None:
    """Collect, teach, look, try and deploy in a browser.

    It runs on this machine. Everything is kept as plain files in the folder, so that every step can also be done by a
    command: class folders in photos/ (`edgenet train --data`, `edgenet capture`), trainings in runs/, bundles in
    bundles/ (`edgenet camera`, `edgenet deploy`). Ctrl-C ends it; a training that was running goes on at the next
    start.
    """
    from edgenet.workflows.studio import studio

    studio(
        folder,
        port=port,
        host=host,
        browser=not no_browser,
        pretrained=pretrained,
        resolution=resolution,
        log=lambda line: say(line),
    )
