"""Installing a bundle on a device, and the commands that start our scripts there.

Nothing is copied that is already there, and an interruption at any moment leaves the old bundle in use.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgenet_device.foreign_text import read_json
from edgenet_device.signature import to_base64

from edgenet.assets import device_scripts
from edgenet.devices import releases
from edgenet.devices.device import Device
from edgenet.devices.environment import Environment, ensure_virtual_environment, usable_environments
from edgenet.devices.local import LocalDevice
from edgenet.devices.phone_pack import add_opencv, ensure_pack
from edgenet.devices.releases import SCRIPTS, Release, SetAside, release_of, script_files
from edgenet.errors import EdgenetError, one_line
from edgenet.progress import Progress, silent


@dataclass(frozen=True)
class Installed:
    """A release on a device: a folder with one bundle and the device scripts that go with it.

    Attributes:
        device: the device.
        release: absolute path of the folder on the device.
        bundle: absolute path of the bundle (or .tflite) on the device; "" if there is none.
        scripts: absolute path of the folder with the device scripts there.
        python: the command that starts Python there, able to import the runtime and `edgenet_device`.
    """

    device: Device
    release: str
    bundle: str
    scripts: str
    python: tuple[str, ...]

    def script(self, name: str, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs `device_scripts/NAME.py` on the device."""
        return (*self.python, f"{self.scripts}/{name}.py", *arguments)

    def program(self, name: str, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs one of the small programs of `edgenet_device/__main__.py` on the device."""
        return (*self.python, "-m", "edgenet_device", name, *arguments)


def install(bundle: Path, device: Device, progress: Progress = silent) -> Installed:
    """Make a bundle (or .tflite) ready to run on a device; the release in use there keeps running.

    On this machine the bundle runs from its present path.

    Raises:
        EdgenetError: the device cannot run the bundle; the message says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(
            device, str(Path.cwd()), str(bundle.resolve()), str(device_scripts()), (sys.executable,)
        )
    return install_release(bundle, device, progress).installed


def install_scripts(device: Device, progress: Progress = silent) -> Installed:
    """Make the scripts that need no model ready to run on a device; `bundle` is "".

    Raises:
        EdgenetError: the device cannot run them; the message says why.
    """
    if isinstance(device, LocalDevice):
        return Installed(device, str(Path.cwd()), "", str(device_scripts()), (sys.executable,))
    ready = usable_environments(device)
    key = ready[0] if ready else _ensure_environment(device, progress).key
    folder = f"{device.home}/scripts"
    device.push(script_files(device.facts().is_phone), folder, progress)
    python = f"{device.home}/environments/{key}/bin/python" if key else "python3"
    scripts = f"{folder}/{SCRIPTS}"
    return Installed(device, folder, "", scripts, ("env", f"PYTHONPATH={scripts}", python))


@dataclass(frozen=True)
class InstalledRelease:
    """A release that is ready on a device.

    Attributes:
        installed: its folder there and the command that starts its scripts.
        release: its ID.
        environment: its Python environment.
        copied: whether the release had to be copied.
        set_aside: older releases with somebody's own files, which made room.
    """

    installed: Installed
    release: str
    environment: Environment
    copied: bool
    set_aside: tuple[SetAside, ...] = ()


def install_release(
    bundle: Path,
    device: Device,
    progress: Progress = silent,
    offline: bool = False,
    trusted_key: bytes | None = None,
    opencv: bool = False,
) -> InstalledRelease:
    """Make a release ready on a device: environment, files, and a first run of the model.

    The link `current` does not change.

    Args:
        bundle: the bundle or .tflite.
        device: the device.
        progress: reports every step.
        offline: download the Python packages on this machine.
        trusted_key: the public key that the device will trust; None for the one that it trusts now, if any.
        opencv: install OpenCV on a phone, too, so that its classify.sh runs; other devices always have it.

    Raises:
        EdgenetError: the device cannot run the bundle; the message says why.
    """
    progress("look at the device", 0, None)
    phone = device.facts().is_phone
    for key in usable_environments(device):  # an installed release is found without starting Python there
        release = release_of(bundle, key, phone)
        if releases.is_intact(device, release.identity):
            made = add_opencv(device, key, progress) if phone and opencv else ()
            return InstalledRelease(
                _installed(device, release), release.identity, Environment(key, made), False
            )
    environment = _ensure_environment(device, progress, offline, opencv)
    release = release_of(bundle, environment.key, phone)
    installed = _installed(device, release)
    device.push(release.files, releases.prepare(device, release.identity), progress)
    progress("verify", 0, None)
    set_aside = releases.commit(device, release.identity, environment.key)
    try_model(installed, trusted_key)
    releases.mark_verified(device, release.identity)
    set_aside += releases.prune(device)
    return InstalledRelease(installed, release.identity, environment, True, set_aside)


def _ensure_environment(
    device: Device, progress: Progress, offline: bool = False, opencv: bool = False
) -> Environment:
    """Make the Python environment for a device: the pack on a phone, a virtual environment elsewhere."""
    if device.facts().is_phone:
        return ensure_pack(device, progress, opencv)
    return ensure_virtual_environment(device, offline, progress)


def try_model(installed: Installed, key: bytes | None = None) -> dict[str, Any]:
    """Run the model once on the device and return the JSON object that `try-model` prints.

    With `key`, the bundle must be signed by this public key instead of by the one that the device trusts.

    Raises:
        EdgenetError: the model does not run there; the message says why.
    """
    options = [] if key is None else [f"--key={to_base64(key)}"]
    done = installed.device.run(installed.program("try-model", [installed.bundle, *options]))
    if done.status:
        reason = done.last_line().removeprefix("error: ")
        raise EdgenetError(f"the model does not run on {installed.device.name}: {reason}")
    try:
        printed: dict[str, Any] = read_json(done.out)
    except ValueError as error:
        raise EdgenetError(
            f"{installed.device.name} answers with something else than JSON ({one_line(str(error))})",
            "deploy again",
        ) from None
    return printed


def _installed(device: Device, release: Release) -> Installed:
    folder = f"{device.home}/releases/{release.identity}"
    scripts = f"{folder}/{SCRIPTS}"
    python = ("env", f"PYTHONPATH={scripts}", f"{folder}/environment/bin/python")
    return Installed(device, folder, f"{folder}/{release.bundle}", scripts, python)
