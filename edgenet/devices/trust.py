"""The key that a device trusts: stored there, and every bundle held against it before the device runs it.

The device's scripts verify on every start (see `edgenet_device.trust`). Here its file `trust.json` is written, and a
bundle is tried before it replaces the one that runs, so that a device never ends up with one that it refuses.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenet_device.signature import to_base64
from edgenet_device.trust import TRUST_FILE

from edgenet.devices.device import Device
from edgenet.devices.install import Installed
from edgenet.devices.shell import script
from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class BundleOnDevice:
    """A bundle on a device, with scripts there that can verify it.

    Attributes:
        scripts: the scripts.
        path: the bundle's path on the device.
    """

    scripts: Installed
    path: str


def has_trust(device: Device) -> bool:
    """Return whether the device trusts a key, and so runs no other bundles."""
    return device.run(script('[ -e "$1" ] || [ -L "$1" ]', _file(device))).status == 0


def trusts(device: Device, key: bytes) -> bool:
    """Return whether a device trusts this key."""
    return device.run(script('grep -qF "$2" "$1"', _file(device), to_base64(key))).status == 0


def check(bundle: BundleOnDevice, key: bytes | None = None, older: bool = False) -> None:
    """Check that a device would run a bundle.

    Args:
        bundle: the bundle.
        key: the public key that the device will trust; None for the one that it trusts now.
        older: accept a bundle that is older than the newest one that the device was given.

    Raises:
        EdgenetError: the device refuses it; the message says why.
    """
    _accept(bundle, key, older, ["--check"])


def accept(bundle: BundleOnDevice, key: bytes | None = None, older: bool = False) -> None:
    """Make a bundle the newest one that a device was given, and the key the one that it trusts; see `check`.

    Raises:
        EdgenetError: the device refuses it, or its trust.json cannot be written.
    """
    _accept(bundle, key, older, [])


def _accept(bundle: BundleOnDevice, key: bytes | None, older: bool, options: list[str]) -> None:
    device = bundle.scripts.device
    if key is not None:
        options = [*options, f"--key={to_base64(key)}"]
    if older:
        options = [*options, "--older"]
    done = device.run(bundle.scripts.program("accept-bundle", [_file(device), bundle.path, *options]))
    if done.status:
        reason = done.last_line().removeprefix("error: ")
        raise EdgenetError(f"{device.name} does not accept the bundle: {reason}")


def _file(device: Device) -> str:
    return f"{device.home}/{TRUST_FILE}"
