"""The verb `deploy`: a bundle onto a device, in the place of the one that runs there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.devices import layout
from edgenet.devices.device import DeviceFacts
from edgenet.devices.installing import place
from edgenet.devices.opening import opened
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
    notes: tuple[str, ...] = ()


def deploy(bundle: Path, to: str, offline: bool = False, progress: Progress = silent) -> Deployed:
    """Installs a bundle (or .tflite) on a device and makes it the one that runs there.

    Power may fail at any moment, and the way there too: the old one or the new one runs, never half of one. What is
    there already does not move.

    Args:
        bundle: from `convert` or `package`.
        to: the target, such as "ssh:pi@raspberrypi.local".
        offline: have this machine fetch the Python packages and bring them along.
        progress: told of every step.

    Raises:
        EdgenetError: the device cannot be reached, or cannot take it; says why.
    """
    with opened(to) as device:
        facts = device.facts()
        placed = place(bundle, device, progress, offline)
        before = layout.current(device)
        if placed.release != before:
            layout.activate(device, placed.release)
        return Deployed(
            target=to,
            facts=facts,
            folder=placed.installed.release,
            release=placed.release,
            previous=layout.previous(device),
            moved=placed.moved,
            swapped=placed.release != before,
            packages=placed.environment.made,
            notes=placed.environment.notes,
        )


def rollback(to: str) -> Deployed:
    """Goes back to the release that ran before; a second time, forth again.

    Raises:
        EdgenetError: there is none, or it is damaged.
    """
    with opened(to) as device:
        facts = device.facts()
        release = layout.previous(device)
        if release is None:
            raise EdgenetError(f"no release ran before on {to}", "deploy one")
        if not layout.is_whole(device, release):
            raise EdgenetError(
                f"the release before, {release}, is damaged on {to}", "deploy its bundle again"
            )
        layout.activate(device, release)
        folder = f"{device.home}/releases/{release}"
        return Deployed(to, facts, folder, release, layout.previous(device), moved=False, swapped=True)
