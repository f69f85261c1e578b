"""Signed bundles on a device: the key that it trusts, and the timer by which it fetches newer ones.

The device's scripts verify a bundle on every start (see `edgenet_device.trust`). Here its file `trust.json` is written,
and a bundle is tried before it replaces the one that runs, so that a device never ends up with one that it refuses.

The timer is one of its user's systemd, and runs `edgenet_device update` there:

HOME/edgenet-device                     starts the programs of `edgenet_device`, with the Python of the release in use
~/.config/systemd/user/edgenet-update.service and .timer

The program's scripts lie in HOME/scripts, apart from the releases: a rollback to an older release does not end the
updates.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgenet_device.signature import to_base64
from edgenet_device.trust import TRUST_FILE

from edgenet.devices.device import Device
from edgenet.devices.install import Installed, install_scripts
from edgenet.devices.shell import require_success, script
from edgenet.devices.unit import quote_for_systemd
from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

OFF = "off"
"""The value of --updates that ends them."""
_NAME = "edgenet-update"
_NO_LINGERING, _NO_SYSTEMD = 4, 5
_LAUNCHER = """#!/bin/sh
# Written by edgenet deploy --updates.
here=$(cd -P "$(dirname "$0")" && pwd) &&
exec env "PYTHONPATH=$here/scripts/device_scripts" "$here/current/environment/bin/python" -m edgenet_device "$@"
"""
_SERVICE = """# Written by edgenet deploy --updates.
[Unit]
Description=edgenet: fetch the newest bundle
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={command}
Nice=10
"""
# The random delay keeps a fleet from coming all at once; it is the same each time, so that no device waits much longer
# than an hour between two looks.
_TIMER = """# Written by edgenet deploy --updates.
[Unit]
Description=edgenet: look for a newer bundle every hour

[Timer]
OnBootSec=2min
OnUnitInactiveSec=1h
RandomizedDelaySec=10min
FixedRandomDelay=true

[Install]
WantedBy=timers.target
"""
# $1: edgenet's folder, $2: the units' name, $3 to $5: the texts of the launcher, the service and the timer.
_INSTALL = """
command -v systemctl >/dev/null || exit 5
folder=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
place() { printf %s "$2" >"$1.new" && chmod "$3" "$1.new" && sync && mv -f "$1.new" "$1"; }
mkdir -p "$folder" && place "$1/edgenet-device" "$3" 755 || exit 1
place "$folder/$2.service" "$4" 644 && place "$folder/$2.timer" "$5" 644 || exit 1
systemctl --user daemon-reload && systemctl --user enable --quiet --now "$2.timer" || exit 1
loginctl --no-ask-password enable-linger >/dev/null 2>&1 ||
    sudo -n loginctl enable-linger "$(id -un)" >/dev/null 2>&1 || exit 4
"""
_REMOVE = """
folder=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
[ -e "$folder/$1.timer" ] || exit 0
systemctl --user disable --quiet --now "$1.timer"
rm -f "$folder/$1.timer" "$folder/$1.service" && systemctl --user daemon-reload
"""
_ASK = 'grep -qF -e "$2" "${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/$1.service"'


def require_trust(device: Device, url: str | None, key: bytes | None) -> None:
    """Check that a device trusts a key, or is about to, if it shall fetch updates.

    Raises:
        EdgenetError: it trusts none.
    """
    if url not in (None, OFF) and key is None and not has_trust(device):
        raise EdgenetError(
            f"{device.name} trusts no key, so it would take nobody's updates", "add --trust KEY.pub"
        )


def install_updates(device: Device, url: str, progress: Progress = silent) -> tuple[str, ...]:
    """Let a device look for a newer bundle every hour; return notes for the user.

    Args:
        device: the device, on which a release is in use.
        url: the folder of updates, or "off" to end them.
        progress: reports every step.

    Raises:
        EdgenetError: the device has no systemd, or the units cannot be written.
    """
    if url == OFF:
        require_success(device, "end the updates", device.run(script(_REMOVE, _NAME)))
        return ()
    install_scripts(device, progress)
    command = [f"{device.home}/edgenet-device", "update", url, "--home", device.home]
    service = _SERVICE.format(command=quote_for_systemd(command))
    done = device.run(script(_INSTALL, device.home, _NAME, _LAUNCHER, service, _TIMER))
    if done.status == _NO_SYSTEMD:
        raise EdgenetError(
            f"{device.name} has no systemd",
            f"let another scheduler run python -m edgenet_device update {url} there",
        )
    if done.status == _NO_LINGERING:
        return ("to look for updates from boot on, run once on the device: sudo loginctl enable-linger USER",)
    require_success(device, "install the timer of the updates", done)
    return ()


def has_updates(device: Device, url: str) -> bool:
    """Return whether a device looks for updates at this URL; for "off", whether it looks for none."""
    if url == OFF:
        return device.run(script(_ASK, _NAME, "ExecStart")).status != 0
    return device.run(script(_ASK, _NAME, quote_for_systemd([url]))).status == 0


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
