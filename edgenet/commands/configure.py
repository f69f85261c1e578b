"""`edgenet configure` shows and changes the options of a camera that runs as a service."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.fleet import names_several, print_fleet
from edgenet.commands.options import JsonFlag, on_option

if TYPE_CHECKING:
    from edgenet.workflows.configure import Configured


With = Annotated[
    Path | None,
    typer.Option(
        "--with",
        metavar="FILE.py|FOLDER",
        help="Bring a program of your own, or a folder, which stays on the device through later deploys and rollbacks.",
    ),
]
RequirementsFile = Annotated[
    Path | None,
    typer.Option(
        "--requirements",
        metavar="FILE",
        help="Packages for the code of --with; this machine downloads them, so that the device needs no network.",
    ),
]
Run = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="PROGRAM",
        help="Let the service start this program of yours, such as my_app.py or my_folder/main.py, with the arguments "
        "after --; camera.py is edgenet's own.",
    ),
]


@dataclass(frozen=True)
class OwnCodeOptions:
    """Code of the user's own, and whether the service starts it."""

    with_: With = None
    requirements: RequirementsFile = None
    run: Run = None


ConfigureOn = Annotated[list[str], on_option("ssh", several=True)]
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
        help="After --, options of camera.py for the service, such as --threshold 0.6, or the arguments for --run.",
    ),
]


Running = Annotated[
    bool | None,
    typer.Option(
        "--start/--stop",
        show_default=False,
        help="Start the service, now and at boot, or stop it and keep it from starting at boot; its options stay.",
    ),
]


def configure_command(
    on: ConfigureOn,
    options: CameraWords = None,
    config: CameraConfig = None,
    run: Run = None,
    running: Running = None,
    json_output: JsonFlag = False,
) -> None:
    """Show or change the options of a device's camera service.

    The options given take the place of all that the service had; its camera and its page's address stay unless they
    are given. The service starts again with them. Without options, those that it has are shown. Several devices are
    changed at the same time.
    """
    words = camera_words(options, run)
    given: dict[str, Any] = {"options": words, "config": config, "run": run, "running": running}
    if names_several(on):
        with shown_progress() as progress:
            from edgenet.workflows.fleet import configure_fleet

            done = configure_fleet(on, **given, progress=progress)
        print_fleet(done, json_output)
        return
    with shown_progress() as progress:
        from edgenet.workflows.configure import configure

        result = configure(on[0], **given, progress=progress)
    print_json(result) if json_output else _print(result)


def camera_words(options: list[str] | None, run: str | None = None) -> list[str]:
    """Return the options given after --; without the -- they would be options of edgenet itself.

    The arguments of a program of the user's own (`run`) may be any words.
    """
    if run is None and options and not options[0].startswith("-"):
        raise typer.BadParameter(
            f"'{options[0]}' is one argument too many; camera.py's options stand after --"
        )
    return options or []


def _print(result: Configured) -> None:
    kind = "a system service" if result.system else "a user service"
    say(f"{result.target}: {kind}, {_state(result)}")
    if result.program:
        say(f"  program  {result.program}")
        warn(result.notes)
        return
    say(f"  source   {result.source}")
    say(f"  serve    {result.serve or 'no page'}")
    say(f"  options  {shlex.join(result.options) or 'none'}")
    warn(result.notes)


def _state(result: Configured) -> str:
    if result.switched is not None:
        return "started, with" if result.switched else "stopped; it would be started with"
    return "started again with" if result.changed else "started with"
