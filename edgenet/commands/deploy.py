"""`edgenet deploy` installs a bundle on a Raspberry Pi or a phone; `edgenet status` shows what runs there."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from edgenet_device.foreign_text import LONGEST_LABEL, one_line

from edgenet.commands.configure import CameraConfig, CameraWords, camera_words
from edgenet.commands.console import print_json, say, shown_progress, warn
from edgenet.commands.options import Camera, JsonFlag, ServeAddress, on_option
from edgenet.commands.typer_command import Alias

if TYPE_CHECKING:
    from edgenet.devices.device import DeviceFacts
    from edgenet.workflows.deploy import Deployed
    from edgenet.workflows.status import Status

Bundle = Annotated[
    Path | None,
    typer.Argument(help="The bundle (.edgenet) or .tflite file to install. Leave it out with --rollback."),
]
InstallOn = Annotated[str, on_option("ssh", "adb"), Alias("--to")]
StatusOn = Annotated[str, on_option("local", "ssh", "adb")]
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


def deploy_command(
    on: InstallOn,
    bundle: Bundle = None,
    options: CameraWords = None,
    rollback: Rollback = False,
    offline: Offline = False,
    service: ServiceFlag = False,
    system_service: SystemFlag = False,
    source: Camera = "0",
    serve: ServeAddress = None,
    config: CameraConfig = None,
    trust: Trust = None,
    json_output: JsonFlag = False,
) -> None:
    """Install a bundle on a Raspberry Pi or a phone.

    The bundle takes the place of the one that runs there now; --rollback goes back to that one. With --service the
    device runs the camera given with --source from boot on, and serves the page given with --serve. Other options of
    camera.py for the service stand after -- or in a TOML file; a service keeps those that it has unless some are given.
    """
    words = camera_words(options)
    if (bundle is None) is not rollback:
        raise typer.BadParameter("give a bundle, or --rollback without one")
    given = serve is not None or source != "0" or config is not None or words
    if given and not (service or system_service):
        raise typer.BadParameter(
            "--source, --serve and camera.py's options are for the service; add --service"
        )
    if rollback and (service or system_service):
        raise typer.BadParameter(
            "a running service follows a rollback by itself; leave out --service and --system-service"
        )
    if rollback and trust is not None:
        raise typer.BadParameter("--trust needs the bundle to install; leave out --rollback")
    with shown_progress() as progress:
        from edgenet.workflows import deploy

        if bundle is None:
            result = deploy.rollback(on)
        else:
            result = deploy.deploy(
                bundle,
                on,
                offline=offline,
                service=service,
                system_service=system_service,
                source=source,
                serve=serve,
                options=words,
                config=config,
                trust=trust,
                progress=progress,
            )
    print_json(result) if json_output else _print(result)


def _print(result: Deployed) -> None:
    say(f"{result.target}: {_facts_text(result.facts)}")
    if result.packages:
        say(f"installed {', '.join(result.packages)}")
    done = "copied and verified" if result.moved else "was there already and is intact"
    say(f"{result.folder}: {done}; {'runs now' if result.swapped else 'was running already'}")
    if result.trusts:
        say(f"the device runs only bundles signed by the key {result.trusts} from now on")
    if result.service:
        say(f"service {result.service}; edgenet status --on {result.target} shows its state")
    if result.previous:
        say(
            f"the release before was {result.previous}; edgenet deploy --rollback --on {result.target} goes back to it"
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


def status_command(on: StatusOn, json_output: JsonFlag = False) -> None:
    """Show what runs on a device, how fast, and the last error."""
    with shown_progress():
        from edgenet.workflows.status import status

        result = status(on)
    print_json(result) if json_output else _print_status(result)


def _print_status(result: Status) -> None:
    rows = (
        ("device", f"{result.target}, up {_duration(result.device_s)}"),
        (
            "bundle",
            f"{result.bundle} ({result.release})" if result.bundle else "none: edgenet deploy installs one",
        ),
        ("service", _service(result)),
        ("options", shlex.join(result.options)),
        ("model", one_line(result.model or "")),
        (
            "sees",
            one_line(result.label or "nothing I know", LONGEST_LABEL) if result.fps is not None else None,
        ),
        ("speed", _speed(result)),
        ("page", result.page),
        ("trouble", "; ".join(filter(None, (result.lost, *result.warnings)))),
        ("last error", f"{result.last_error_at}: {result.last_error}" if result.last_error else None),
    )
    for name, value in rows:
        if value:
            say(f"{name:<11} {value}")


def _service(result: Status) -> str:
    if result.service is None:
        return f"none: {'edgenet deploy --service installs one' if result.systemd else 'this device has no systemd'}"
    since = f" for {_duration(result.service_s)}" if result.service_s is not None else ""
    ended = f", last ended with: {result.result}" if result.result not in (None, "success") else ""
    return f"{result.service}{since}, restarted {result.restarts} times{ended}"


def _speed(result: Status) -> str | None:
    if result.fps is None or result.p50_ms is None:
        return None
    heat = "" if result.temperature is None else f", {result.temperature:.0f} °C"
    return f"{result.fps:.1f} frames/s, {result.p50_ms:.1f} ms from frame to label{heat}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
