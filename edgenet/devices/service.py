"""The live camera as a systemd service on a device.

systemd starts it at boot, restarts it whenever it ends, supervises it with a watchdog, and logs it in the journal.
"""

from __future__ import annotations

from dataclasses import replace

from edgenet_device.foreign_text import is_number

from edgenet.devices.device import Device, ProgramResult
from edgenet.devices.private_source import keep_source
from edgenet.devices.service_settings import bring_files, keep_settings
from edgenet.devices.shell import require_success, script
from edgenet.devices.unit import UNIT, Account, Service, unit_text, written_folders
from edgenet.errors import EdgenetError

# Exit statuses of the two scripts that install: why they stopped.
_NO_SUDO, _NO_START, _NO_LINGERING, _NO_SANDBOX = 2, 3, 4, 5
# systemd's own failures to confine a program (systemd.exec(5)): no user namespace, capabilities, no mount namespace.
_WHY_NOT_STARTED = """
    case "$($manager show -p ExecMainStatus --value "$1")" in 217 | 218 | 226) exit 5 ;; esac
    exit 3
"""
# $1: the unit's name, $2: its text. Each of the two kinds ends the other, which would keep the camera for itself.
# Lingering lets a user's services start at boot, without a login.
_INSTALL_USER = f"""
manager="systemctl --user"
folder=${{XDG_CONFIG_HOME:-$HOME/.config}}/systemd/user
mkdir -p "$folder" && printf %s "$2" >"$folder/$1.new" && sync && mv -f "$folder/$1.new" "$folder/$1" || exit 1
if [ -e "/etc/systemd/system/$1" ] && systemctl is-enabled --quiet "$1"; then
    sudo -n systemctl disable --now --quiet "$1" || exit 2
fi
$manager daemon-reload && $manager enable --quiet "$1" || exit 1
$manager restart "$1" || {{ {_WHY_NOT_STARTED} }}
loginctl --no-ask-password enable-linger >/dev/null 2>&1 ||
    sudo -n loginctl enable-linger "$(id -un)" >/dev/null 2>&1 || exit 4
"""
_INSTALL_SYSTEM = f"""
manager="sudo -n systemctl"
sudo -n true || exit 2
folder=/etc/systemd/system
printf %s "$2" | sudo -n tee "$folder/$1.new" >/dev/null && sync || exit 1
sudo -n mv -f "$folder/$1.new" "$folder/$1" || exit 1
systemctl --user disable --now --quiet "$1" 2>/dev/null
$manager daemon-reload && $manager enable --quiet "$1" || exit 1
$manager restart "$1" || {{ {_WHY_NOT_STARTED} }}
"""


_MAKE_FOLDERS = 'for folder; do mkdir -p "$folder" || exit 1; done'


def install_service(device: Device, service: Service) -> tuple[str, ...]:
    """Write the service's unit, start it, and enable it at boot; it runs what `current` points to.

    Returns:
        messages for the user.

    Raises:
        EdgenetError: the device has no systemd, sudo asks for a password, or the service does not start.
    """
    account = _account(device)
    folders = written_folders(service, account)
    require_success(device, "make the folders to write to", device.run(script(_MAKE_FOLDERS, *folders)))
    service = replace(service, options=bring_files(device, service.options))
    keep_settings(device, service)
    source = keep_source(device, service.source, f"{account.edgenet}/camera-source")
    service = replace(service, source=source)
    notes = []
    done = _install(device, service, account, sandbox=True)
    if done.status == _NO_SANDBOX:
        notes.append(
            f"{device.name} cannot confine the service, because its users get no namespaces of their own: the service "
            "may read and write whatever its user may"
        )
        done = _install(device, service, account, sandbox=False)
    if done.status == _NO_SUDO and service.system:
        raise EdgenetError(
            f"sudo asks for a password on {device.name}, and the system service needs it",
            "give --service instead of --system-service, or allow sudo without a password",
        )
    if done.status == _NO_SUDO:
        raise EdgenetError(
            f"{device.name} has a system service, which has to end first, and sudo asks for a password there",
            f"run on the device: sudo systemctl disable --now {UNIT}",
        )
    if done.status == _NO_LINGERING:
        notes.append(
            f"to start the service at boot, run once on the device: sudo loginctl enable-linger {account.user}"
        )
    else:
        _require_running(device, done)
    if service.program is not None:
        _require_running(device, device.run(script(_STAYS, UNIT, "yes" if service.system else "")))
    return tuple(notes)


# For systemd, a program of the user's own has started before its first line runs. $2: empty for a user service.
_STAYS = """
manager="systemctl --user"
[ -z "$2" ] || manager=systemctl
for second in 1 2 3; do
    sleep 1
    [ "$($manager show -p ActiveState --value "$1")" = active ] || exit 3
done
"""


def _install(device: Device, service: Service, account: Account, sandbox: bool) -> ProgramResult:
    text = unit_text(service, account, sandbox)
    return device.run(script(_INSTALL_SYSTEM if service.system else _INSTALL_USER, UNIT, text))


_ACCOUNT = 'systemctl --version 2>/dev/null | { read -r _ version _; echo "$version"; }; id -un; echo "$HOME"'


def _account(device: Device) -> Account:
    """Return the account that edgenet uses on the device, which has systemd."""
    out = device.run(script(_ACCOUNT)).out.decode(errors="replace")
    version, user, home, *_ = [*out.split("\n"), "", ""]
    if not is_number(version) or len(version) > 5:
        raise EdgenetError(
            f"{device.name} has no systemd", "start camera.sh there with another service manager"
        )
    return Account(user, home, device.home, int(version))


# Also if systemd is trying to start it.
_RUNNING = """
running() { case "$("$@" -p ActiveState --value 2>/dev/null)" in active | activating | reloading) ;; *) false ;; esac; }
"""
_RESTART = f"""{_RUNNING}
if running systemctl --user show "$1"; then systemctl --user restart "$1" || exit 3; echo restarted; fi
if running systemctl show "$1"; then
    sudo -n true || exit 2
    sudo -n systemctl restart "$1" || exit 3
    echo restarted
fi
"""


def service_runs(device: Device) -> bool:
    """Return whether a service is running, or systemd is trying to start it."""
    either = 'running systemctl --user show "$1" || running systemctl show "$1"'
    return device.run(script(f"{_RUNNING}{either}", UNIT)).status == 0


def restart_service(device: Device) -> bool:
    """Restart a running service so that it uses the release that `current` points to now.

    Returns:
        whether a service was running.

    Raises:
        EdgenetError: the service does not start again, or sudo asks for a password; the message says why.
    """
    done = device.run(script(_RESTART, UNIT))
    if done.status == _NO_SUDO:
        raise EdgenetError(
            f"the new bundle is on {device.name}, but the service still runs the old one, because sudo asks for a "
            "password there",
            f"run on the device: sudo systemctl restart {UNIT}",
        )
    _require_running(device, done)
    return b"restarted" in done.out


# $1: the unit's name, $2: start or stop, $3: user or system.
_SWITCH = f"""
manager="systemctl --user"
[ "$3" = user ] || {{ sudo -n true || exit 2; manager="sudo -n systemctl"; }}
if [ "$2" = stop ]; then $manager disable --now --quiet "$1" || exit 1; exit 0; fi
$manager enable --quiet "$1" || exit 1
$manager start "$1" || {{ {_WHY_NOT_STARTED} }}
"""


def switch_service(device: Device, service: Service, running: bool) -> None:
    """Start an installed service and enable it at boot, or stop it and disable it.

    Raises:
        EdgenetError: the service does not start, or sudo asks for a password; the message says why.
    """
    words = ("start" if running else "stop", "system" if service.system else "user")
    done = device.run(script(_SWITCH, UNIT, *words))
    if done.status == _NO_SUDO:
        raise EdgenetError(
            f"sudo asks for a password on {device.name}, and its service is a system service",
            f"run on the device: sudo systemctl {'enable' if running else 'disable'} --now {UNIT}",
        )
    if done.status and not running:
        raise EdgenetError(f"cannot stop the service on {device.name}: {done.last_line()}")
    _require_running(device, done)


# Each line begins with the time: "2026-11-25T21:30:00+0000 raspberrypi python[512]: error: ...". The last line of a
# traceback of a program of the user's own begins with the name of the exception, such as "KeyError: ".
_LAST_ERROR = """
journalctl --quiet --no-pager -o short-iso -n 300 "_SYSTEMD_USER_UNIT=$1" + "_SYSTEMD_UNIT=$1" 2>/dev/null |
    grep -E ' error: |\\]: [A-Za-z_.]+(Error|Exception): ' | tail -n 1
"""


def last_error(device: Device) -> tuple[str, str] | None:
    """Return the time (ISO 8601) and text of the service's last error in the journal; None if none."""
    line = device.run(script(_LAST_ERROR, UNIT)).out.decode(errors="replace").strip()
    when, _, text = line.partition(" ")
    error = text.partition(" error: ")[2] or text.partition("]: ")[2]
    return (when, error) if line else None


def _require_running(device: Device, done: ProgramResult) -> None:
    """Raise EdgenetError if one of the scripts above failed."""
    if done.status == _NO_START:
        error = last_error(device)
        reason = error[1] if error else done.last_line()
        raise EdgenetError(
            f"the service does not start on {device.name}: {reason}; systemd keeps restarting it"
        )
    if done.status:
        raise EdgenetError(f"cannot install the service on {device.name}: {done.last_line()}")
