"""The camera's service on a Raspberry Pi can do its work and not much else, and nobody there learns its secrets.

The machine is emulated; its kernel and its systemd, which confine the service, are the real ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from virtual_devices import Pi, wait_until

from edgenet.devices.unit import UNIT
from edgenet.errors import EdgenetError
from edgenet.workflows.deploy import Deployed, deploy, status

pytestmark = pytest.mark.slow
TARGET = "ssh:pi"
PATIENCE_S = 240
FOLDER = ".local/share/edgenet"
PROBE_UNIT = "edgenet-probe.service"
EVERYWHERE = "0.0.0.0:8080"
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
}
MAY = {"use the camera", "read the release", "write its state"}


@pytest.fixture(scope="module")
def installed(pi: Pi, colours: Path) -> Deployed:
    pi.camera("red")
    pi.sh(
        "echo secret >/home/pi/.profile-of-the-test; echo secret >/tmp/of-the-test; chmod a+r /tmp/of-the-test"
    )
    return deploy(colours, TARGET, offline=True, service=True, serve=EVERYWHERE)


def sees_red(pi: Pi, runtime: str = "/run/user/1000") -> None:
    """Wait until the service reports red; over the tests' own connection, as a new one takes long."""

    def now() -> bool:
        told, _, clock = pi.sh(f"cat {runtime}/edgenet/camera.json; echo; date +%s").strip().rpartition("\n")
        kept = json.loads(told or "{}")
        return kept.get("label") == "red" and float(clock) - kept["written"] < 3

    wait_until(now, PATIENCE_S, "the service sees red")


def allowed(pi: Pi, manager: str, folder: str) -> set[str]:
    """Return what may be done within the installed unit, whose program is replaced by the attempts."""
    lines = [
        f"if sh -c '{what}' >/dev/null 2>&1; then echo \"{name}\"; fi" for name, what in ATTEMPTS.items()
    ]
    script = 'exec >"$RUNTIME_DIRECTORY/probe"\n' + "\n".join(lines) + "\n"
    unit = [
        f"ExecStart=/bin/sh /home/pi/{FOLDER}/probe.sh" if line.startswith("ExecStart=") else line
        for line in pi.sh(f"cat {folder}/{UNIT}").splitlines()
        if not line.startswith(("Type=", "Restart", "WatchdogSec="))
    ]
    text = "\n".join(unit).replace("[Service]", "[Service]\nType=oneshot")
    (pi.folder / "probe.sh").write_text(script)
    (pi.folder / PROBE_UNIT).write_text(text)
    for name in ("probe.sh", PROBE_UNIT):
        done = pi.kit("ssh", f"cat >/tmp/{name} <<'END'\n{(pi.folder / name).read_text()}\nEND")
        assert done.returncode == 0, done.stderr
    root = "sudo " if folder.startswith("/") else ""
    pi.sh(f"cp /tmp/probe.sh {FOLDER}/; {root}cp /tmp/{PROBE_UNIT} {folder}/; {manager} daemon-reload")
    pi.sh(f"{manager} start {PROBE_UNIT}")
    runtime = pi.sh(f"{manager} show -p ExecMainStatus --value {PROBE_UNIT}")
    assert runtime.strip() == "0"
    where = "/run" if root else "/run/user/1000"
    return set(pi.sh(f"cat {where}/edgenet/probe").splitlines())


def everything_others_can_read(pi: Pi) -> str:
    """Return what all users of the device can read of a service: its units, processes and log."""
    units = pi.sh(f"cat .config/systemd/user/{UNIT} /etc/systemd/system/{UNIT} 2>/dev/null || true")
    log = pi.sh("sudo journalctl --no-pager")
    return units + log + pi.sh("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")


def test_a_user_s_service_sees_the_camera_and_can_do_little_else(pi: Pi, installed: Deployed) -> None:
    assert installed.notes == ()
    sees_red(pi)
    # Only root may restrict devices, so a user's service may use those that its user may use.
    assert allowed(pi, "systemctl --user", ".config/systemd/user") == {*MAY, "use another device"}


def test_the_token_is_in_its_user_s_file_alone(pi: Pi, installed: Deployed) -> None:
    sees_red(pi)
    page = status(TARGET).page
    assert page is not None
    token = page.partition("token=")[2]
    assert token
    assert "live page: http://0.0.0.0:8080/ (" in pi.sh("sudo journalctl --no-pager")
    assert token not in everything_others_can_read(pi)
    assert pi.sh("stat -c %a /run/user/1000/edgenet/camera.json").strip() == "600"


def test_a_camera_s_password_is_in_its_user_s_file_alone(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path
) -> None:
    url = tmp_path / "url"
    url.write_text("rtsp://me:s3cret@127.0.0.1:9/live?key=s3cret\n")
    with pytest.raises(EdgenetError, match=r"no video comes from rtsp://127\.0\.0\.1:9/live;") as failed:
        deploy(colours, TARGET, service=True, source=f"@{url}", serve=EVERYWHERE)
    kept = f"{FOLDER}/camera-source"
    assert pi.sh(f"cat {kept}; stat -c %a {kept}") == "rtsp://me:s3cret@127.0.0.1:9/live?key=s3cret600\n"
    seen = str(failed.value) + json.dumps(asdict(status(TARGET)))
    for _ in range(3):
        seen += everything_others_can_read(pi)
    assert "camera.py" in seen
    assert "s3cret" not in seen
    deploy(colours, TARGET, service=True, serve=EVERYWHERE)
    sees_red(pi)
    assert pi.sh(f"ls {kept} 2>/dev/null || true") == ""


def test_without_namespaces_it_runs_and_says_what_is_missing(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    most = pi.sh("cat /proc/sys/user/max_user_namespaces")
    pi.sh("echo 0 | sudo tee /proc/sys/user/max_user_namespaces")
    try:
        again = deploy(colours, TARGET, service=True, serve=EVERYWHERE)
    finally:
        pi.sh(f"echo {most.strip()} | sudo tee /proc/sys/user/max_user_namespaces")
    assert any("cannot confine the service" in note for note in again.notes)
    sees_red(pi)


def test_a_system_service_reaches_no_device_but_the_camera(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    deploy(colours, TARGET, system_service=True, serve=EVERYWHERE)
    sees_red(pi, "/run")
    assert pi.sh(f"systemctl --user is-active {UNIT} || true").strip() == "inactive"
    assert allowed(pi, "sudo systemctl", "/etc/systemd/system") == MAY
    assert pi.sh("stat -c %a /run/edgenet/camera.json").strip() == "600"
    pi.power_cut()
    pi.camera("red")
    sees_red(pi, "/run")
    assert status(TARGET).service == "active"
