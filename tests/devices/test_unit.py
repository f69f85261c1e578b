"""The unit of the camera's service: what systemd makes of it, and what must never get into it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgenet.devices.apps import Program
from edgenet.devices.service_options import read_options
from edgenet.devices.unit import UNIT, Account, Service, quote_for_systemd, unit_text
from edgenet.errors import EdgenetError
from edgenet.workflows.deploy import deploy

PI = Account("pi", "/home/pi", "/home/pi/.local/share/edgenet", 252)


@pytest.mark.parametrize(("version", "stepped"), [(252, False), (257, True)])
def test_the_pauses_grow_where_systemd_can(version: int, stepped: bool) -> None:
    account = Account("pi", "/home/pi", "/home/pi/edgenet", version)
    text = unit_text(Service(serve="8080"), account)
    assert ("RestartSteps=5" in text) is stepped
    for line in (
        "Type=notify",
        "WatchdogSec=30",
        "Restart=always",
        "StartLimitIntervalSec=0",
        "WantedBy=default.target",
    ):
        assert line in text
    assert '"/home/pi/edgenet/current/camera.sh" "0" "--serve" "8080" --state %t/edgenet/camera.json' in text
    assert "User=pi" not in text
    assert "User=pi\n" in unit_text(Service(system=True), account)


def test_what_systemd_would_replace_is_quoted() -> None:
    assert quote_for_systemd(["a b", '"', "$HOME", "%t", "\\"]) == r'"a b" "\"" "$$HOME" "%%t" "\\"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("source", ["rtsp://h/a?b=%20", 'films/a "b": $c %d.mp4'])
@pytest.mark.parametrize("program", [False, True])
def test_systemd_itself_finds_no_fault(system: bool, source: str, program: bool, tmp_path: Path) -> None:
    account = Account("root", str(tmp_path), str(tmp_path), 252)
    options = read_options(
        ["--log", "/srv/100 %/a.csv", "--gpio", "17=a", "--on-label", "a", "--exec", "/bin/x $y"]
    )
    own = Program("shop", "main.py") if program else None
    service = Service(source, system=system, options=options, program=own, arguments=("100 %", "$y"))
    (tmp_path / UNIT).write_text(unit_text(service, account))
    manager = [] if system else ["--user"]
    done = subprocess.run(
        ["systemd-analyze", *manager, "verify", str(tmp_path / UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert UNIT not in done.stderr, done.stderr


@pytest.mark.parametrize("system", [False, True])
def test_the_service_may_do_little(system: bool) -> None:
    """tests/devices/test_raspberry_pi.py tries on a Pi what these lines forbid."""
    lines = unit_text(Service(system=system), PI).splitlines()
    for line in (
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "SystemCallFilter=@system-service",
        "TemporaryFileSystem=/home:ro /root:ro /run/user:ro",
        "UMask=0077",
        "StateDirectory=edgenet",
        'BindReadOnlyPaths="/home/pi/.local/share/edgenet" "-/home/pi/.cache/edgenet"',
    ):
        assert line in lines
    # Without a user namespace, a user's systemd silently leaves out most of these.
    assert ("PrivateUsers=yes" in lines) is not system
    assert ("DevicePolicy=closed" in lines) is system
    # /home is hidden from a user's service, and its state folder lies there.
    assert ("BindPaths=%t/edgenet %S/edgenet" in lines) is not system


def test_a_film_can_be_read_although_its_home_is_hidden() -> None:
    def readable(source: str) -> str:
        return next(line for line in unit_text(Service(source), PI).splitlines() if "BindRead" in line)

    assert readable("film.mp4").endswith(' "-/home/pi/film.mp4"')
    assert readable("/media/a film.mp4").endswith(' "-/media/a film.mp4"')
    for source in ("0", "csi", "/dev/video1", "rtsp://camera/live", "@/home/pi/x"):
        assert readable(source).endswith('edgenet"')


@pytest.mark.parametrize(
    "text", ["0\nExecStartPre=/bin/evil", "0\r", "a\x00b", "\x1b[2J", "\u2028", "a\u202eb"]
)
@pytest.mark.parametrize("option", ["source", "serve"])
def test_line_breaks_and_control_characters_are_refused_before_anything_is_done(
    text: str, option: str, tmp_path: Path
) -> None:
    with pytest.raises(EdgenetError, match=r"control character|zero byte"):
        deploy(tmp_path / "missing.edgenet", "ssh:nobody.invalid", service=True, **{option: text})


def test_a_device_whose_folders_break_lines_is_refused() -> None:
    for account in (
        Account("pi\nUser=root", "/home/pi", "/home/pi/e", 252),
        Account("pi", "/home/p\ni", "/home/pi/e", 252),
        Account("pi", "/home/pi", "/home/pi/e\n", 252),
    ):
        with pytest.raises(EdgenetError, match="control character"):
            unit_text(Service(system=True), account)
