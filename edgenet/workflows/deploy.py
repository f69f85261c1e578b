"""The verb `deploy`: installs a bundle on a device in place of the one that runs there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet.devices import release as release_module
from edgenet.devices.device import Device, DeviceFacts, script
from edgenet.devices.install import install_release
from edgenet.devices.release import SUMS, bundle_in
from edgenet.devices.service import UNIT, Service, install_service, last_error, restart_service
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent


@dataclass(frozen=True)
class Deployed:
    """What runs on the device after `deploy` or `rollback`.

    Attributes:
        target: the target as the user gave it.
        facts: the device's hardware and software.
        folder: the release's folder on the device; its camera.sh starts the camera.
        release: the release's ID.
        previous: ID of the release that `rollback` would go back to; None if there is none.
        moved: whether files had to be copied.
        swapped: whether the release that runs is another one than before.
        packages: Python packages that were installed just now.
        service: what was done about the service: "installed", "restarted", or None.
        notes: what the user should know.
    """

    target: str
    facts: DeviceFacts
    folder: str
    release: str
    previous: str | None
    moved: bool
    swapped: bool
    packages: tuple[str, ...] = ()
    service: str | None = None
    notes: tuple[str, ...] = ()


def deploy(
    bundle: Path, to: str, offline: bool = False, service: Service | None = None, progress: Progress = silent
) -> Deployed:
    """Install a bundle (or .tflite) on a device and make it the one that runs there.

    If the power or the connection fails at any moment, either the old or the new release runs, never half of
    one. Files that the device already has are not copied again.

    Args:
        bundle: from `convert` or `package`.
        to: the target, such as "ssh:pi@raspberrypi.local".
        offline: for a device without internet: this machine downloads the Python packages and copies them
            there.
        service: install this service too; a service that already runs switches to the new bundle in any case.
        progress: called with every step.

    Raises:
        EdgenetError: the device cannot be reached or cannot run the bundle; the message says why.
    """
    with open_device(to) as device:
        facts = device.facts()
        placed = install_release(bundle, device, progress, offline)
        running, before = release_module.running(device)
        swapped = placed.release != running
        if swapped:
            release_module.activate(device, placed.release)
        done, notes = _serve(device, service, swapped, progress)
        return Deployed(
            target=to,
            facts=facts,
            folder=placed.installed.release,
            release=placed.release,
            previous=running if swapped else before,
            moved=placed.moved,
            swapped=swapped,
            packages=placed.environment.made,
            service=done,
            notes=(*placed.environment.notes, *notes),
        )


def rollback(to: str) -> Deployed:
    """Go back to the release that ran before; a second rollback undoes the first.

    Raises:
        EdgenetError: there is no earlier release, or it is damaged.
    """
    with open_device(to) as device:
        facts = device.facts()
        running, release = release_module.running(device)
        if release is None:
            raise EdgenetError(f"there is no previous release on {to}", "deploy one")
        if not release_module.is_intact(device, release):
            raise EdgenetError(
                f"the previous release {release} is damaged on {to}", "deploy its bundle again"
            )
        release_module.activate(device, release)
        done, _ = _serve(device, None, True, silent)
        folder = f"{device.home}/releases/{release}"
        return Deployed(to, facts, folder, release, running, moved=False, swapped=True, service=done)


def _serve(
    device: Device, service: Service | None, swapped: bool, progress: Progress
) -> tuple[str | None, tuple[str, ...]]:
    """Install or restart the service; return what was done (None for nothing), and notes for the user."""
    if service is not None:
        progress("start the service", 0, None)
        return "installed", install_service(device, service)
    if swapped and restart_service(device):
        return "restarted", ()
    return None, ()


# ==== edgenet.verbs.status
# The verb `status`: reports what runs on a device, how fast, since when, and the last error.

# The camera rewrites its state file all the time; a state older than this says nothing about the present.
_FRESH_S = 10.0
_ASK = """
link=$(readlink "$1/current") && echo "release=${link#releases/}"
echo "uptime=$(cut -d ' ' -f 1 /proc/uptime)"
echo "clock=$(date +%s)"
for manager in "systemctl --user" systemctl; do
    [ "$($manager show -p LoadState --value "$2" 2>/dev/null)" = loaded ] || continue
    $manager show -p ActiveState,SubState,NRestarts,Result,ActiveEnterTimestampMonotonic "$2"
    break
done
for folder in "${XDG_RUNTIME_DIR:-/run/user/$(id -u)}" /run; do
    [ -r "$folder/edgenet/camera.json" ] || continue
    echo "state=$(cat "$folder/edgenet/camera.json")"
    break
done
exit 0
"""


@dataclass(frozen=True)
class Status:
    """The state of a device. A field is None if it is unknown or its part does not run.

    Attributes:
        target: the target as the user gave it.
        release: ID of the installed release.
        bundle: name of the release's bundle.
        service: state of the service in systemd's words: "active", "activating" (also while waiting for a
            restart), "failed", "inactive"; None if no service is installed.
        result: why the service last ended, in systemd's words: "success", "exit-code", "watchdog", ...
        restarts: how often systemd restarted the service.
        service_s: how long the service has been running, seconds.
        device_s: how long the device has been running, seconds.
        model: the model and the runtime that runs it.
        label: what the camera sees now; None if nothing the network knows.
        fps: frames classified per second.
        p50_ms: median time from a frame's capture to its labels, milliseconds.
        temperature: temperature of the device, degrees Celsius.
        warnings: what slows the device down now.
        lost: why no frames come; None if they come.
        page: address of the live page, as seen from the device.
        last_error: the last error in the journal.
        last_error_at: time of that error, ISO 8601.
    """

    target: str
    release: str | None
    bundle: str | None
    service: str | None
    result: str | None
    restarts: int | None
    service_s: float | None
    device_s: float
    model: str | None = None
    label: str | None = None
    fps: float | None = None
    p50_ms: float | None = None
    temperature: float | None = None
    warnings: tuple[str, ...] = ()
    lost: str | None = None
    page: str | None = None
    last_error: str | None = None
    last_error_at: str | None = None


def status(on: str) -> Status:
    """Ask a device for its state.

    Args:
        on: the target, such as "ssh:pi@raspberrypi.local".

    Raises:
        EdgenetError: the device cannot be reached.
    """
    with open_device(on) as device:
        out = device.run(script(_ASK, device.home, UNIT)).out.decode(errors="replace")
        told = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        error = last_error(device) if "ActiveState" in told else None
        device_s = float(told["uptime"])
        active = told.get("ActiveState")
        since_us = int(told.get("ActiveEnterTimestampMonotonic", "0"))
        return Status(
            target=on,
            release=told.get("release"),
            bundle=_bundle(device, told.get("release")),
            service=active,
            result=told.get("Result"),
            restarts=int(told["NRestarts"]) if "NRestarts" in told else None,
            service_s=device_s - since_us / 1e6 if active == "active" else None,
            device_s=device_s,
            last_error=error[1] if error else None,
            last_error_at=error[0] if error else None,
            **_now(told) if active == "active" else {},
        )


def _bundle(device: Device, release: str | None) -> str | None:
    return bundle_in(device.pull(f"{device.home}/releases/{release}/{SUMS}").decode()) if release else None


def _now(told: dict[str, str]) -> dict[str, Any]:
    """Return the camera's present state from its state file, as fields of `Status`.

    If there is no such file the result is empty; if the file is old, it holds only the model and a warning.
    """
    try:
        state = json.loads(told.get("state", ""))
    except ValueError:
        return {}
    if float(told["clock"]) - state["written"] > _FRESH_S:
        return {"model": state["model"], "lost": "the camera has stopped reporting its state"}
    keys = ("model", "label", "fps", "p50_ms", "temperature", "lost")
    return {
        **{key: state.get(key) for key in keys},
        "warnings": tuple(state["warnings"]),
        "page": state["url"],
    }
