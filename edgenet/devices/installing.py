"""Installing a bundle on a device.

Nothing is copied that is already there, and an interruption at any moment leaves the old bundle in use.
"""

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
        installed: its folder there and the command that starts its scripts.
        release: its ID.
        environment: its Python environment.
        moved: whether the release had to be copied.
    """

    installed: Installed
    release: str
    environment: Environment
    moved: bool


def install(bundle: Path, device: Device, progress: Progress = silent) -> Installed:
    """Make a bundle (or .tflite) ready to run on a device; the release in use there keeps running.

    On this machine the bundle runs from its present path.

    Raises:
        EdgenetError: the device cannot run the bundle; the message says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(device, str(Path.cwd()), str(bundle.resolve()), (sys.executable,))
    return place(bundle, device, progress).installed


def install_scripts(device: Device, progress: Progress = silent) -> Installed:
    """Make the scripts that need no model ready to run on a device; `bundle` is "".

    Raises:
        EdgenetError: the device cannot run them; the message says why.
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
    """Make a release ready on a device: environment, files, and a first run of the model.

    The link `current` does not change.

    Args:
        bundle: the bundle or .tflite.
        device: the device.
        progress: reports every step.
        offline: download the Python packages on this machine.

    Raises:
        EdgenetError: the device cannot run the bundle; the message says why.
    """
    progress("look at the device", 0, None)
    for key in usable_environments(device):  # an installed release is found without starting Python there
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
    """Run the model once on the device and return the JSON object that `try_model.py` prints.

    Raises:
        EdgenetError: the model does not run there; the message says why.
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
