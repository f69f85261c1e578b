"""`edgenet deploy`: a bundle onto a Raspberry Pi or a phone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgenet.cli.console import JsonFlag, print_json, shown_progress, warn

if TYPE_CHECKING:
    from edgenet.devices.device import DeviceFacts
    from edgenet.verbs.deploy import Deployed

Bundle = Annotated[Path | None, typer.Argument(help="The bundle (or .tflite); none with --rollback.")]
To = Annotated[str, typer.Option("--to", metavar="TARGET", help="ssh:USER@HOST[:PORT] or adb[:SERIAL].")]
Rollback = Annotated[bool, typer.Option("--rollback", help="Go back to what ran before.")]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch the Python packages here; the device needs no network.")
]
ServiceFlag = Annotated[
    bool, typer.Option("--service", help="Also run the camera from boot on, as a service.")
]
SystemFlag = Annotated[
    bool, typer.Option("--system-service", help="The same as a service of the system; needs sudo there.")
]
Source = Annotated[str, typer.Option("--source", help="The service's camera, as edgenet camera takes it.")]
Serve = Annotated[
    str | None,
    typer.Option("--serve", metavar="ADDRESS", help="Where the service serves its page: PORT or HOST:PORT."),
]


def command(
    to: To,
    bundle: Bundle = None,
    rollback: Rollback = False,
    offline: Offline = False,
    service: ServiceFlag = False,
    system_service: SystemFlag = False,
    source: Source = "0",
    serve: Serve = None,
    json_output: JsonFlag = False,
) -> None:
    """Install a bundle on a device, in the place of the one that runs there."""
    if (bundle is None) is not rollback:
        raise typer.BadParameter("give a bundle, or --rollback without one")
    if not (service or system_service) and (serve is not None or source != "0"):
        raise typer.BadParameter("--source and --serve are the service's: give --service, too")
    if rollback and (service or system_service):
        raise typer.BadParameter("a service follows a rollback by itself: leave out --service")
    with shown_progress() as progress:
        from edgenet.devices.service import Service
        from edgenet.verbs import deploy

        wanted = Service(source, serve, system_service) if service or system_service else None
        result = deploy.deploy(bundle, to, offline, wanted, progress) if bundle else deploy.rollback(to)
    print_json(result) if json_output else _print(result)


def _print(result: Deployed) -> None:
    typer.echo(f"{result.target}: {_facts_text(result.facts)}")
    if result.packages:
        typer.echo(f"installed {', '.join(result.packages)}")
    done = "copied and verified" if result.moved else "was there already, whole"
    typer.echo(f"{result.folder}: {done}; {'runs now' if result.swapped else 'ran before, too'}")
    if result.service:
        typer.echo(f"service {result.service}; edgenet status --on {result.target} tells how it does")
    if result.previous:
        typer.echo(
            f"before it ran {result.previous}; edgenet deploy --rollback --to {result.target} goes back"
        )
    warn(result.notes)


def _facts_text(facts: DeviceFacts) -> str:
    python = ".".join(map(str, facts.python)) if facts.python else None
    parts = [
        facts.model,
        facts.system,
        facts.userland,
        f"Python {python}" if python else "no Python",
        f"cameras: {', '.join(facts.camera_stack) or 'none'}",
    ]
    return ", ".join(part for part in parts if part)
