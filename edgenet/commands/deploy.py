"""`edgenet deploy` installs a bundle on Raspberry Pis or phones, or switches back to the release before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgenet.commands.configure import CameraConfig, CameraWords, OwnCodeOptions, camera_words
from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.fleet import (
    RolloutOptions,
    names_several,
    print_fleet,
    show_row,
)
from edgenet.commands.options import Camera, JsonFlag, ServeAddress, on_option
from edgenet.commands.typer_command import Alias

if TYPE_CHECKING:
    from edgenet.devices.device import DeviceFacts
    from edgenet.workflows.deploy import Deployed

Bundle = Annotated[
    Path | None,
    typer.Argument(help="The bundle (.edgenet) or .tflite file to install. Leave it out with --rollback."),
]
InstallOn = Annotated[list[str], on_option("ssh", "adb", several=True), Alias("--to")]
Rollback = Annotated[bool, typer.Option("--rollback", help="Switch back to the release that ran before.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", help="Download the Python packages on this machine, so that the device needs no network."
    ),
]
ServiceFlag = Annotated[
    bool, typer.Option("--service", help="Also install a user service that runs the camera from boot on.")
]
SystemFlag = Annotated[
    bool,
    typer.Option(
        "--system-service",
        help="Like --service, but install a system service; needs sudo without a password on the device.",
    ),
]
Trust = Annotated[
    Path | None,
    typer.Option(
        "--trust",
        metavar="PUBLIC_KEY",
        help="From now on the device runs only bundles signed by this key; edgenet new-key makes one.",
    ),
]
Updates = Annotated[
    str | None,
    typer.Option(
        "--updates",
        metavar="URL|off",
        help="Let the device look every hour for a newer signed bundle at this https address, to which edgenet publish "
        "has written; off ends that.",
    ),
]


@dataclass(frozen=True)
class ServiceChoice:
    """The service that a device shall run, and the camera that it starts with."""

    service: ServiceFlag = False
    system_service: SystemFlag = False
    source: Camera = "0"
    serve: ServeAddress = None
    config: CameraConfig = None

    def arguments(self, options: list[str]) -> dict[str, Any]:
        """Return these, and camera.py's `options`, as arguments of `edgenet.deploy`.

        Raises:
            typer.BadParameter: there are options for a service, and none to start with them.
        """
        given = self.serve is not None or self.source != "0" or self.config is not None or options
        if given and not (self.service or self.system_service):
            raise typer.BadParameter(
                "--source, --serve and camera.py's options are for the service; add --service"
            )
        return {**vars(self), "options": options}


def deploy_command(
    on: InstallOn,
    running: ServiceChoice,
    rollout: RolloutOptions,
    own_code: OwnCodeOptions,
    bundle: Bundle = None,
    options: CameraWords = None,
    rollback: Rollback = False,
    offline: Offline = False,
    trust: Trust = None,
    updates: Updates = None,
    json_output: JsonFlag = False,
) -> None:
    """Install a bundle on Raspberry Pis or phones.

    The bundle takes the place of the one that runs there now; --rollback goes back to that one. With --service the
    device runs the camera given with --source from boot on, and serves the page given with --serve. Other options of
    camera.py for the service stand after -- or in a TOML file; a service keeps those that it has unless some are given.
    --with brings a program of your own along, and --run lets the service start it.
    Several devices are changed in waves: first a canary, and nothing more after a device that fails its check.
    """
    given = running.arguments(camera_words(options, own_code.run))
    if (bundle is None) is not rollback:
        raise typer.BadParameter("give a bundle, or --rollback without one")
    if rollback and (running.service or running.system_service):
        raise typer.BadParameter(
            "a running service follows a rollback by itself; leave out --service and --system-service"
        )
    if rollback and (trust is not None or updates is not None or any(vars(own_code).values())):
        raise typer.BadParameter(
            "--trust, --updates, --with, --requirements and --run need the bundle to install; leave out --rollback"
        )
    waves = rollout.arguments()
    if rollback and waves:
        raise typer.BadParameter("--canary, --wave, --check and --keep-going are for a bundle")
    given |= {"offline": offline, "trust": trust, "updates": updates, **vars(own_code)}
    if names_several(on) or waves:
        _deploy_to_several(bundle, on, waves, given, json_output)
        return
    with shown_progress() as progress:
        from edgenet.workflows import deploy

        to = on[0]
        result = deploy.deploy(bundle, to, progress=progress, **given) if bundle else deploy.rollback(to)
    print_json(result) if json_output else _print(result)


def _deploy_to_several(
    bundle: Path | None, on: list[str], waves: dict[str, Any], given: dict[str, Any], json_output: bool
) -> None:
    with shown_progress() as progress:
        from edgenet.workflows import fleet, fleet_deploy

        if bundle is None:
            result = fleet.rollback_fleet(on, progress=progress)
        else:
            result = fleet_deploy.deploy_fleet(
                bundle, on, progress=progress, show=show_row, arguments=given, **waves
            )
    print_fleet(result, json_output)


def _print(result: Deployed) -> None:
    say(f"{result.target}: {_facts_text(result.facts)}")
    if result.packages:
        say(f"installed {', '.join(result.packages)}")
    done = "copied and verified" if result.moved else "was there already and is intact"
    say(f"{result.folder}: {done}; {'runs now' if result.swapped else 'was running already'}")
    if result.facts.is_phone and (result.moved or result.packages):
        say(f"classify its photos: {_classify_command(result)}")
    for code in result.code:
        changed = f"; changed there: {', '.join(code.changed[:3])}" if code.changed else ""
        say(f"{code.folder}: your code, {code.state}{changed}")
    if result.trusts:
        say(f"the device runs only bundles signed by the key {result.trusts} from now on")
    if result.service:
        say(f"service {result.service}; edgenet status --on {result.target} shows its state")
    if result.previous:
        say(
            f"the release before was {result.previous}; edgenet deploy --rollback --on {result.target} goes back to it"
        )
    warn(result.notes)


def _classify_command(result: Deployed) -> str:
    """Return the command that classifies a phone's photos on the phone itself."""
    serial = result.target.partition(":")[2]
    adb = f"adb -s {serial}" if serial else "adb"
    home = result.folder.partition("/releases/")[0]
    return f"{adb} shell sh {home}/current/classify.sh /sdcard/DCIM/Camera"


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
