"""The verb `deploy`: installs a bundle on a device in place of the one that runs there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.devices import layout
from edgenet.devices.device import Device, DeviceFacts
from edgenet.devices.installing import place
from edgenet.devices.opening import opened
from edgenet.devices.service import Service, install_service, restart_service
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
    with opened(to) as device:
        facts = device.facts()
        placed = place(bundle, device, progress, offline)
        running, before = layout.running(device)
        swapped = placed.release != running
        if swapped:
            layout.activate(device, placed.release)
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
    with opened(to) as device:
        facts = device.facts()
        running, release = layout.running(device)
        if release is None:
            raise EdgenetError(f"there is no previous release on {to}", "deploy one")
        if not layout.is_whole(device, release):
            raise EdgenetError(
                f"the previous release {release} is damaged on {to}", "deploy its bundle again"
            )
        layout.activate(device, release)
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
