"""`edgenet configure` shows and changes the options of a camera that runs as a service."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.options import JsonFlag, on_option

if TYPE_CHECKING:
    from edgenet.workflows.configure import Configured

ConfigureOn = Annotated[str, on_option("ssh")]
CameraConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A TOML file with options of camera.py for the service (camera.toml).",
    ),
]
CameraWords = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- OPTIONS]",
        show_default=False,
        help="After --, options of camera.py for the service, such as --threshold 0.6.",
    ),
]


def configure_command(
    on: ConfigureOn,
    options: CameraWords = None,
    config: CameraConfig = None,
    json_output: JsonFlag = False,
) -> None:
    """Show or change the options of the camera that a device runs as a service.

    The options given take the place of all that the service had; its camera and its page's address stay unless they
    are given. The service starts again with them. Without options, those that it has are shown.
    """
    words = camera_words(options)
    with shown_progress() as progress:
        from edgenet.workflows.configure import configure

        result = configure(on, options=words, config=config, progress=progress)
    print_json(result) if json_output else _print(result)


def camera_words(options: list[str] | None) -> list[str]:
    """Return the options given after --; without the -- they would be options of edgenet itself."""
    if options and not options[0].startswith("-"):
        raise typer.BadParameter(
            f"'{options[0]}' is one argument too many; camera.py's options stand after --"
        )
    return options or []


def _print(result: Configured) -> None:
    kind = "a system service" if result.system else "a user service"
    say(f"{result.target}: {kind}, {'started again with' if result.changed else 'started with'}")
    say(f"  source   {result.source}")
    say(f"  serve    {result.serve or 'no page'}")
    say(f"  options  {shlex.join(result.options) or 'none'}")
    warn(result.notes)
