"""The verb `deploy`: a bundle onto a device, in the place of the one that runs there."""

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
    """What runs on the device now.

    Attributes:
        target: as the user gave it.
        facts: what the device is.
        folder: of the release there; its camera.sh starts the camera.
        release: its ID.
        previous: ID of the release that `rollback` would go back to.
        moved: whether files had to be copied.
        swapped: whether another release ran before.
        packages: what was installed for Python just now.
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
    """Installs a bundle (or .tflite) on a device and makes it the one that runs there.

    Power may fail at any moment, and the way there too: the old one or the new one runs, never half of one. What is
    there already does not move.

    Args:
        bundle: from `convert` or `package`.
        to: the target, such as "ssh:pi@raspberrypi.local".
        offline: have this machine fetch the Python packages and bring them along.
        service: install this service, too; a service that runs already takes up the new bundle in any case.
        progress: told of every step.

    Raises:
        EdgenetError: the device cannot be reached, or cannot take it; says why.
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
    """Goes back to the release that ran before; a second time, forth again.

    Raises:
        EdgenetError: there is none, or it is damaged.
    """
    with opened(to) as device:
        facts = device.facts()
        running, release = layout.running(device)
        if release is None:
            raise EdgenetError(f"no release ran before on {to}", "deploy one")
        if not layout.is_whole(device, release):
            raise EdgenetError(
                f"the release before, {release}, is damaged on {to}", "deploy its bundle again"
            )
        layout.activate(device, release)
        done, _ = _serve(device, None, True, silent)
        folder = f"{device.home}/releases/{release}"
        return Deployed(to, facts, folder, release, running, moved=False, swapped=True, service=done)


def _serve(
    device: Device, service: Service | None, swapped: bool, progress: Progress
) -> tuple[str | None, tuple[str, ...]]:
    """What was done about the service, and what the user should know of it."""
    if service is not None:
        progress("start the service", 0, None)
        return "installed", install_service(device, service)
    if swapped and restart_service(device):
        return "restarted", ()
    return None, ()
