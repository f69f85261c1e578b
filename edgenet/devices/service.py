"""The live camera as a systemd service on a device.

systemd starts it at boot, restarts it whenever it ends, supervises it with a watchdog, and logs it in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgenet.devices.device import Device, ProgramResult
from edgenet.devices.shell import script
from edgenet.errors import EdgenetError

UNIT = "edgenet-camera.service"


@dataclass(frozen=True)
class Service:
    """The settings of the service.

    Attributes:
        source: the camera, as camera.py accepts it.
        serve: the page's address, as camera.py accepts it; None for no page.
        system: whether to install a system service, which needs sudo, instead of a user service.
    """

    source: str = "0"
    serve: str | None = None
    system: bool = False


# $1: the unit's name, $2: its text. Lingering lets a user's services start at boot, without a login.
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


def install_service(device: Device, service: Service) -> tuple[str, ...]:
    """Write the service's unit, start it, and enable it at boot; it runs what `current` points to.

    Returns:
        messages for the user.

    Raises:
        EdgenetError: the device has no systemd, sudo asks for a password, or the service does not start.
    """
    version, user = _systemd(device)
    text = unit_text(device.home, service, version, user)
    done = device.run(script(_INSTALL_SYSTEM if service.system else _INSTALL_USER, UNIT, text))
    if done.status == 2:
        raise EdgenetError(
            f"sudo asks for a password on {device.name}",
            "leave out --system-service, or allow sudo without a password",
        )
    if done.status == 4:
        return (f"to start the service at boot, run once on the device: sudo loginctl enable-linger {user}",)
    _require_running(device, done)
    return ()


_VERSION = 'systemctl --version 2>/dev/null | { read -r _ version _; echo "$version"; }; id -un'


def _systemd(device: Device) -> tuple[int, str]:
    """Return the version of the device's systemd, and the user's name there."""
    out = device.run(script(_VERSION)).out.decode(errors="replace")
    version, _, user = out.strip().partition("\n")
    if not (version.isascii() and version.isdigit() and len(version) < 6):
        raise EdgenetError(
            f"{device.name} has no systemd", "start camera.sh there with another service manager"
        )
    return int(version), user


# The first systemd version with RestartSteps=, which lengthens the pauses between restarts.
_STEPPED_BACK_OFF = 254
_UNIT_TEXT = """# Written by edgenet deploy.
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
Restart=always
{back_off}SuccessExitStatus=143
NoNewPrivileges=yes

[Install]
WantedBy={wanted_by}
"""


def unit_text(home: str, service: Service, version: int, user: str) -> str:
    """Return the text of the unit file (systemd.service(5)).

    Args:
        home: edgenet's folder on the device.
        service: the service's settings.
        version: version of systemd on the device.
        user: the user that a system service runs as.
    """
    serve = [] if service.serve is None else ["--serve", service.serve]
    command = [f"{home}/current/camera.sh", service.source, *serve]
    stepped = version >= _STEPPED_BACK_OFF
    return _UNIT_TEXT.format(
        # %t is the runtime folder in memory that contains RuntimeDirectory. systemd replaces only this %,
        # because `quote_for_systemd` escapes all others.
        command=f"/bin/sh {quote_for_systemd(command)} --state %t/edgenet/camera.json",
        user=f"User={user}\n" if service.system else "",
        back_off="RestartSec=2\nRestartSteps=5\nRestartMaxDelaySec=60\n" if stepped else "RestartSec=5\n",
        wanted_by="multi-user.target" if service.system else "default.target",
    )


def quote_for_systemd(arguments: Sequence[str]) -> str:
    """Quote arguments for ExecStart=, where quotes, backslashes, $ and % are special (systemd.service(5))."""
    replaced = [
        argument.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("%", "%%")
        for argument in arguments
    ]
    return " ".join(f'"{argument}"' for argument in replaced)


# Restarts the service if it is running, or if systemd is trying to start it.
_RESTART = """
for manager in "systemctl --user" "sudo -n systemctl"; do
    case "$($manager show -p ActiveState --value "$1" 2>/dev/null)" in
        active | activating | reloading) $manager restart "$1" || exit 3; echo restarted ;;
    esac
done
"""


def restart_service(device: Device) -> bool:
    """Restart a running service so that it uses the release that `current` points to now.

    Returns:
        whether a service was running.

    Raises:
        EdgenetError: the service does not start again; the message says why.
    """
    done = device.run(script(_RESTART, UNIT))
    _require_running(device, done)
    return b"restarted" in done.out


# Each line begins with the time: "2026-11-25T21:30:00+0000 raspberrypi python[512]: error: ...".
_LAST_ERROR = """
journalctl --quiet --no-pager -o short-iso -n 300 "_SYSTEMD_USER_UNIT=$1" + "_SYSTEMD_UNIT=$1" 2>/dev/null |
    grep ' error: ' | tail -n 1
"""


def last_error(device: Device) -> tuple[str, str] | None:
    """Return the time (ISO 8601) and text of the service's last error in the journal; None if none."""
    line = device.run(script(_LAST_ERROR, UNIT)).out.decode(errors="replace").strip()
    when, _, text = line.partition(" ")
    return (when, text.partition(" error: ")[2]) if line else None


def _require_running(device: Device, done: ProgramResult) -> None:
    """Raise EdgenetError if one of the scripts above failed; exit status 3: the service does not start."""
    if done.status == 3:
        error = last_error(device)
        reason = error[1] if error else done.last_line()
        raise EdgenetError(
            f"the service does not start on {device.name}: {reason}; systemd keeps restarting it"
        )
    if done.status:
        raise EdgenetError(f"cannot install the service on {device.name}: {done.last_line()}")
