"""The live camera as a service of systemd on a device: at boot, again after a failure, watched, told in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenet.devices.device import Device, Finished
from edgenet.devices.posix import script
from edgenet.errors import EdgenetError

UNIT = "edgenet-camera.service"
_STEPPED_BACK_OFF = 254  # the first systemd that makes the pauses longer, step by step

_UNIT = """# Written by edgenet deploy.
[Unit]
Description=edgenet: what the camera sees
StartLimitIntervalSec=0

[Service]
Type=notify
{user}ExecStart={command}
RuntimeDirectory=edgenet
RuntimeDirectoryPreserve=yes
WatchdogSec=30
TimeoutStartSec=180
Restart=on-failure
RestartSec=2
{back_off}SuccessExitStatus=143
NoNewPrivileges=yes

[Install]
WantedBy={wanted_by}
"""

_VERSION = 'systemctl --version 2>/dev/null | { read -r _ version _; echo "$version"; }; id -un'

# $1: the unit's name, $2: its text. Lingering lets a user's services run without a login, from boot on.
_INSTALL_USER = """
folder=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user
mkdir -p "$folder" && printf %s "$2" >"$folder/$1.new" && sync && mv -f "$folder/$1.new" "$folder/$1" || exit 1
systemctl --user daemon-reload && systemctl --user enable --quiet "$1" || exit 1
systemctl --user restart "$1" || exit 3
loginctl --no-ask-password enable-linger >/dev/null 2>&1 ||
    sudo -n loginctl enable-linger "$(id -un)" >/dev/null 2>&1 || exit 4
"""
_INSTALL_SYSTEM = """
sudo -n true || exit 2
folder=/etc/systemd/system
printf %s "$2" | sudo -n tee "$folder/$1.new" >/dev/null && sync || exit 1
sudo -n mv -f "$folder/$1.new" "$folder/$1" || exit 1
sudo -n systemctl daemon-reload && sudo -n systemctl enable --quiet "$1" || exit 1
sudo -n systemctl restart "$1" || exit 3
"""
# Restarts the service that is there, if one runs (or would, if it did not fail).
_RESTART = """
for manager in "systemctl --user" "sudo -n systemctl"; do
    case "$($manager show -p ActiveState --value "$1" 2>/dev/null)" in
        active | activating | reloading) $manager restart "$1" || exit 3; echo restarted ;;
    esac
done
"""
# With the time in front, as in "2026-11-25T21:30:00+0000 raspberrypi python[512]: error: ...".
_LAST_ERROR = """
journalctl --quiet --no-pager -o short-iso -n 300 "_SYSTEMD_USER_UNIT=$1" + "_SYSTEMD_UNIT=$1" 2>/dev/null |
    grep ' error: ' | tail -n 1
"""


@dataclass(frozen=True)
class Service:
    """What a service shall do.

    Attributes:
        source: the camera, as camera.py takes it.
        serve: the page's address as camera.py takes it; None for no page.
        system: as a service of the system (which needs sudo) instead of the user's.
    """

    source: str = "0"
    serve: str | None = None
    system: bool = False


def install_service(device: Device, service: Service) -> tuple[str, ...]:
    """Writes the unit, starts it and has it started at boot; it follows the link `current`.

    Returns:
        what the user should know.

    Raises:
        EdgenetError: no systemd, no sudo where it is needed, or the service fails to start; says why.
    """
    version, user = _systemd(device)
    text = unit_text(device.home, service, version, user)
    done = device.run(script(_INSTALL_SYSTEM if service.system else _INSTALL_USER, UNIT, text))
    if done.status == 2:
        raise EdgenetError(
            f"sudo asks for a password on {device.name}",
            "leave out --system-service, or allow sudo without one",
        )
    if done.status == 4:
        return (f"it starts at boot only after this, once, there: sudo loginctl enable-linger {user}",)
    _must_run(device, done)
    return ()


def restart_service(device: Device) -> bool:
    """Has a running service take up what `current` leads to now; false where none runs.

    Raises:
        EdgenetError: it does not start again; says why.
    """
    done = device.run(script(_RESTART, UNIT))
    _must_run(device, done)
    return b"restarted" in done.out


def last_error(device: Device) -> tuple[str, str] | None:
    """When (ISO 8601) the service told its last error in the journal, and what it was."""
    line = device.run(script(_LAST_ERROR, UNIT)).out.decode(errors="replace").strip()
    when, _, told = line.partition(" ")
    return (when, told.partition(" error: ")[2]) if line else None


def unit_text(home: str, service: Service, version: int, user: str) -> str:
    """The unit file (systemd.service(5)).

    Args:
        home: edgenet's folder on the device.
        service: what it shall do.
        version: of systemd there.
        user: who it runs as, where it is a service of the system.
    """
    serve = [] if service.serve is None else ["--serve", service.serve]
    command = [f"{home}/current/camera.sh", service.source, *serve]
    stepped = version >= _STEPPED_BACK_OFF
    return _UNIT.format(
        # %t is the folder in memory that RuntimeDirectory lies in; it alone is systemd's to replace.
        command=f"/bin/sh {quoted(command)} --state %t/edgenet/camera.json",
        user=f"User={user}\n" if service.system else "",
        back_off="RestartSteps=5\nRestartMaxDelaySec=60\n" if stepped else "",
        wanted_by="multi-user.target" if service.system else "default.target",
    )


def quoted(arguments: Sequence[str]) -> str:
    """Arguments for ExecStart=, where quotes, backslashes, $ and % mean something (systemd.service(5))."""
    replaced = [
        argument.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
        for argument in arguments
    ]
    return " ".join(f'"{argument}"' for argument in replaced)


def _systemd(device: Device) -> tuple[int, str]:
    """Its version, and the user's name."""
    version, _, user = device.run(script(_VERSION)).out.decode().strip().partition("\n")
    if not version.isdigit():
        raise EdgenetError(f"{device.name} has no systemd", "start camera.sh there by the means it has")
    return int(version), user


def _must_run(device: Device, done: Finished) -> None:
    if done.status == 3:
        told = last_error(device)
        reason = told[1] if told else done.last_words()
        raise EdgenetError(
            f"the service does not start on {device.name}: {reason}; it is tried again and again"
        )
    if done.status:
        raise EdgenetError(f"cannot install the service on {device.name}: {done.last_words()}")
