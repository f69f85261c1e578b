"""Putting a bundle on a device: nothing moves that is there already, and a stop at any moment leaves the old one."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet.devices import layout
from edgenet.devices.device import Device
from edgenet.devices.environment import Environment, ensure_environment, usable_environments
from edgenet.devices.installed import Installed
from edgenet.devices.local import LocalDevice
from edgenet.devices.release import Release, release_of, script_files
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent


@dataclass(frozen=True)
class Placed:
    """A release that is ready on a device.

    Attributes:
        installed: how its scripts are started there.
        release: its ID.
        environment: what its Python has.
        moved: whether it had to be copied.
    """

    installed: Installed
    release: str
    environment: Environment
    moved: bool


def install(bundle: Path, device: Device, progress: Progress = silent) -> Installed:
    """Makes a bundle (or .tflite) ready to run there, beside what runs there now, which goes on.

    On this machine it runs from where it is.

    Raises:
        EdgenetError: the device cannot take it; says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(device, str(Path.cwd()), str(bundle.resolve()), (sys.executable,))
    return place(bundle, device, progress).installed


def install_scripts(device: Device, progress: Progress = silent) -> Installed:
    """Makes the scripts that need no model ready to run there; `bundle` is empty.

    Raises:
        EdgenetError: the device cannot take them; says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(device, str(Path.cwd()), "", (sys.executable,))
    ready = usable_environments(device)
    key = ready[0] if ready else ensure_environment(device, False, progress).key
    folder = f"{device.home}/scripts"
    device.push(script_files(), folder, progress)
    python = f"{device.home}/environments/{key}/bin/python" if key else "python3"
    return Installed(device, folder, "", ("env", f"PYTHONPATH={folder}", python))


def place(bundle: Path, device: Device, progress: Progress = silent, offline: bool = False) -> Placed:
    """Makes a release ready there: environment, files, and a first run of the model; `current` stays as it is.

    Args:
        bundle: the bundle or .tflite.
        device: where.
        progress: told of every step.
        offline: have this machine fetch the Python packages.

    Raises:
        EdgenetError: the device cannot take it; says why.
    """
    progress("look at the device", 0, None)
    for key in usable_environments(device):  # no Python is started there for what is there already
        release = release_of(bundle, key)
        if layout.is_whole(device, release.identity):
            return Placed(_installed(device, release), release.identity, Environment(key), False)
    environment = ensure_environment(device, offline, progress)
    release = release_of(bundle, environment.key)
    installed = _installed(device, release)
    device.push(release.files, layout.prepare(device, release.identity), progress)
    progress("verify", 0, None)
    layout.settle(device, release.identity, environment.key)
    try_model(installed)
    layout.mark_verified(device, release.identity)
    layout.prune(device)
    return Placed(installed, release.identity, environment, True)


def try_model(installed: Installed) -> dict[str, Any]:
    """Runs the model once there; returns what `try_model.py` tells.

    Raises:
        EdgenetError: it does not run there; says why.
    """
    done = installed.device.run(installed.script("try_model", [installed.bundle]))
    if done.status:
        reason = done.last_words().removeprefix("error: ")
        raise EdgenetError(f"the model does not run on {installed.device.name}: {reason}")
    told: dict[str, Any] = json.loads(done.out)
    return told


def _installed(device: Device, release: Release) -> Installed:
    folder = f"{device.home}/releases/{release.identity}"
    python = ("env", f"PYTHONPATH={folder}", f"{folder}/environment/bin/python")
    return Installed(device, folder, f"{folder}/{release.bundle}", python)
