"""What a process of the camera's service may do on a Raspberry Pi: tried by a program within the installed unit."""

from __future__ import annotations

from virtual_devices import Pi

from edgenet.devices.unit import UNIT

FOLDER = ".local/share/edgenet"
UNITS = ".config/systemd/user"
PROBE_UNIT = "edgenet-probe.service"
# What a process of the service tries; "yes" if it may. The camera's own process may do the same as this one.
ATTEMPTS = {
    "read the ssh keys": "cat /home/pi/.ssh/authorized_keys",
    "list the home": "cat /home/pi/.profile-of-the-test",
    "write into the home": "echo >/home/pi/x",
    "write into the release": f"echo >/home/pi/{FOLDER}/x",
    "write into /etc": "echo >/etc/x",
    "write into the user's systemd": "mkdir -p /home/pi/.config/systemd/user",
    "ask the system over D-Bus": "test -S /run/dbus/system_bus_socket",
    "ask the user's systemd": "systemctl --user daemon-reload",
    "become root": "sudo -n true",
    "see other programs' temporary files": "cat /tmp/of-the-test",
    "make a user namespace": "unshare -U true",
    "use another device": "true </dev/fuse",
    "use the camera": "true </dev/video0",
    "read the release": f"cat /home/pi/{FOLDER}/current/SHA256SUMS",
    "write its state": 'echo >"$RUNTIME_DIRECTORY/x"',
    "keep events": 'echo >"$STATE_DIRECTORY/x"',
}
MAY = {"use the camera", "read the release", "write its state", "keep events"}


def allowed(pi: Pi, system: bool = False) -> set[str]:
    """Return what may be done within the installed unit, whose program is replaced by the attempts.

    Args:
        pi: the machine.
        system: ask of the system service instead of the user's.
    """
    manager, root = ("sudo systemctl", "sudo ") if system else ("systemctl --user", "")
    units, runtime = ("/etc/systemd/system", "/run") if system else (UNITS, "/run/user/1000")
    pi.sh(
        "echo secret >/home/pi/.profile-of-the-test; echo secret >/tmp/of-the-test; chmod a+r /tmp/of-the-test"
    )
    lines = [
        f"if sh -c '{what}' >/dev/null 2>&1; then echo \"{name}\"; fi" for name, what in ATTEMPTS.items()
    ]
    script = 'exec >"$RUNTIME_DIRECTORY/probe"\n' + "\n".join(lines) + "\n"
    unit = [
        f"ExecStart=/bin/sh /home/pi/{FOLDER}/probe.sh" if line.startswith("ExecStart=") else line
        for line in pi.sh(f"cat {units}/{UNIT}").splitlines()
        if not line.startswith(("Type=", "Restart", "WatchdogSec="))
    ]
    text = "\n".join(unit).replace("[Service]", "[Service]\nType=oneshot") + "\n"
    pi.sh(f"cat >{FOLDER}/probe.sh <<'END'\n{script}END")
    pi.sh(f"{root}tee {units}/{PROBE_UNIT} >/dev/null <<'END'\n{text}END")
    pi.sh(f"{manager} daemon-reload; {manager} start {PROBE_UNIT}")
    assert pi.sh(f"{manager} show -p ExecMainStatus --value {PROBE_UNIT}").strip() == "0"
    found = set(pi.sh(f"cat {runtime}/edgenet/probe").splitlines())
    pi.sh(f"{root}rm {units}/{PROBE_UNIT}; rm {FOLDER}/probe.sh; {manager} daemon-reload")
    return found
