"""The camera as a service, and the state of a device.

systemctl, loginctl and journalctl are stand-ins here, shell scripts that record their arguments: the real ones need a
machine that systemd booted. The shell, the files and the socket on which systemd would listen are real.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from edgenet_device.live.status import ServiceState, notify
from service_programs import SYSTEMCTL

from edgenet.commands.status import status_command
from edgenet.devices.apps import Program
from edgenet.devices.local import LocalDevice
from edgenet.devices.service import install_service, last_error, restart_service
from edgenet.devices.unit import UNIT, Service
from edgenet.errors import EdgenetError
from edgenet.workflows.status import DayRow, follow_page, status


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


def test_systemd_hears_that_it_is_ready_and_then_that_it_lives(
    listening: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenet_device.live.status.SERVICE_SECONDS", 0.0)
    state = ServiceState(tmp_path / "camera.json", {"model": "m", "url": None}, pytest.fail)
    state.show({"label": "rose"}, None)
    state.show({"label": "tulip"}, None)
    assert [listening.recv(100) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
    written = json.loads((tmp_path / "camera.json").read_text())
    assert (written["model"], written["label"]) == ("m", "tulip")
    assert written["written"] >= written["started"]


def test_only_its_user_can_read_the_state_which_holds_the_token(tmp_path: Path) -> None:
    place = tmp_path / "camera.json"
    place.write_text("{}")
    place.chmod(0o644)
    before = os.umask(0)
    try:
        ServiceState(place, {"url": "http://pi:8080/?token=secret"}, pytest.fail).show({}, None)
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o600


def test_a_number_that_json_lacks_becomes_null(tmp_path: Path) -> None:
    place = tmp_path / "camera.json"
    ServiceState(place, {}, pytest.fail).show({"temperature": float("nan"), "fps": float("inf")}, None)
    kept = json.loads(place.read_text(), parse_constant=pytest.fail)
    assert (kept["temperature"], kept["fps"]) == (None, None)


def test_once_a_second_is_enough(listening: socket.socket, tmp_path: Path) -> None:
    state = ServiceState(tmp_path / "camera.json", {}, pytest.fail)
    for _ in range(50):
        state.show({}, None)
    assert listening.recv(100) == b"READY=1"
    listening.setblocking(False)
    with pytest.raises(BlockingIOError):
        listening.recv(100)


def test_a_full_disk_is_reported_once_and_the_camera_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenet_device.live.status.SERVICE_SECONDS", 0.0)
    messages: list[str] = []
    state = ServiceState(tmp_path / "missing" / "camera.json", {}, messages.append)
    for _ in range(3):
        state.show({}, None)
    assert len(messages) == 1
    assert "cannot write" in messages[0]


def test_without_systemd_no_message_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    notify("READY=1")


def test_a_service_is_written_enabled_and_started(notes: Path, tmp_path: Path) -> None:
    assert install_service(LocalDevice(), Service()) == ()
    unit = tmp_path / "xdg_config_home" / "systemd" / "user" / UNIT
    assert "ExecStart=/bin/sh" in unit.read_text()
    calls = [line for line in notes.read_text().splitlines() if line != "--version"]
    assert calls == ["--user daemon-reload", f"--user enable --quiet {UNIT}", f"--user restart {UNIT}"]


def test_the_reason_why_it_cannot_run_is_reported(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGER_STATUS", "1")
    (note,) = install_service(LocalDevice(), Service())
    assert "sudo loginctl enable-linger" in note
    monkeypatch.setenv("RESTART_STATUS", "1")
    with pytest.raises(
        EdgenetError, match="does not start on local: there is no camera /dev/video0; plug it in"
    ):
        install_service(LocalDevice(), Service())
    with pytest.raises(EdgenetError, match="sudo asks for a password"):
        install_service(LocalDevice(), Service(system=True))


def test_a_password_reaches_neither_the_unit_nor_the_process_list(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, commands = LocalDevice(), []
    run = device.run
    monkeypatch.setattr(
        device, "run", lambda command, **more: commands.append(command) or run(command, **more)
    )
    url = "rtsp://me:s3cret@camera.local/live?key=s3cret"
    install_service(device, Service(url))
    kept = tmp_path / "xdg_data_home" / "edgenet" / "camera-source"
    assert kept.read_text() == url
    assert kept.stat().st_mode & 0o777 == 0o600
    unit = (tmp_path / "xdg_config_home" / "systemd" / "user" / UNIT).read_text()
    assert f'"@{kept}"' in unit
    assert "s3cret" not in unit + str(commands) + notes.read_text()
    install_service(device, Service("0"))
    assert not kept.exists()


def test_a_device_without_namespaces_gets_the_service_and_a_note(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in starts only a unit that asks for no namespace."""
    unit = tmp_path / "xdg_config_home" / "systemd" / "user" / UNIT
    (notes.parent / "bin" / "systemctl").write_text(
        SYSTEMCTL.replace("    *restart*)", f"    *restart*) grep -q PrivateUsers {unit} && exit 1;").replace(
            "    *LoadState*)", "    *ExecMainStatus*) echo 217 ;;\n    *LoadState*)"
        )
    )
    (note,) = install_service(LocalDevice(), Service())
    assert "cannot confine the service" in note
    assert "ProtectSystem" not in unit.read_text()
    assert "NoNewPrivileges=yes" in unit.read_text()


def test_no_systemd(notes: Path) -> None:
    (notes.parent / "bin" / "systemctl").write_text("#!/bin/sh\nexit 127\n")
    with pytest.raises(
        EdgenetError, match=r"has no systemd; start camera\.sh there with another service manager"
    ):
        install_service(LocalDevice(), Service())


def test_a_running_service_takes_up_what_is_new(notes: Path) -> None:
    assert restart_service(LocalDevice())
    assert f"--user restart {UNIT}" in notes.read_text().splitlines()


def test_a_system_service_that_only_a_password_restarts(notes: Path) -> None:
    swapped = SYSTEMCTL.replace('"--user "*"-p ActiveState', '"show "*"-p ActiveState')
    (notes.parent / "bin" / "systemctl").write_text(swapped)
    with pytest.raises(
        EdgenetError, match=rf"still runs the old one, because.*sudo systemctl restart {UNIT}"
    ):
        restart_service(LocalDevice())
    assert "restart" not in notes.read_text()
    (notes.parent / "bin" / "sudo").write_text('#!/bin/sh\nshift; "$@"\n')
    assert restart_service(LocalDevice())
    assert notes.read_text().splitlines()[-1] == f"restart {UNIT}"


def test_a_program_of_ones_own_that_ends_at_once_is_told(notes: Path, tmp_path: Path) -> None:
    """systemd counts it as started, and starts it again after a pause."""
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo active", "echo activating"))
    journal = tmp_path / "bin" / "journalctl"
    journal.write_text(
        "#!/bin/sh\ncat <<'END'\n"
        "2026-11-25T22:58:52+0000 raspberrypi sh[512]: Traceback (most recent call last):\n"
        "2026-11-25T22:58:53+0000 raspberrypi sh[512]: ModuleNotFoundError: No module named 'x'\n"
        "2026-11-25T22:58:53+0000 raspberrypi systemd[1]: edgenet-camera.service: Failed with result 'exit-code'.\n"
        "END\n"
    )
    with pytest.raises(
        EdgenetError, match="does not start on local: ModuleNotFoundError: No module named 'x'; systemd"
    ):
        install_service(LocalDevice(), Service(program=Program("my_app", "my_app.py")))


def test_the_last_error_of_the_journal(notes: Path) -> None:
    assert last_error(LocalDevice()) == (
        "2026-11-25T22:58:53+0000",
        "there is no camera /dev/video0; plug it in",
    )


def keep_state(folder: Path, written: float, **more: object) -> None:
    state = {
        "model": "m.edgenet",
        "label": "rose",
        "fps": 9.5,
        "p50_ms": 80.0,
        "url": "http://127.0.0.1:8080/",
    }
    rest = {"temperature": 51.0, "warnings": ["under-voltage"], "lost": None, "written": written}
    place = folder / "xdg_runtime_dir" / "edgenet" / "camera.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps({**state, **rest, **more}))


def test_how_a_device_does(notes: Path, tmp_path: Path) -> None:
    keep_state(tmp_path, time.time())
    found = status("local")
    assert (found.service, found.restarts, found.label, found.fps) == ("active", 2, "rose", 9.5)
    assert found.warnings == ("under-voltage",)
    assert found.page == "http://127.0.0.1:8080/"
    assert found.last_error == "there is no camera /dev/video0; plug it in"
    assert found.release is None
    assert (found.days, found.changed) == ((), None)  # an older camera.py does not count
    keep_state(tmp_path, time.time() - 60)
    stale = status("local")
    assert (stale.fps, stale.lost) == (None, "the camera has stopped reporting its state")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://0.0.0.0:8080/?token=secret", "http://127.0.0.1:8080/?token=secret"),
        ("http://192.0.2.7:8080/?token=secret", "http://192.0.2.7:8080/?token=secret"),
    ],
)
def test_the_services_page_as_this_machine_reaches_it(
    url: str, seen: str, notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgenet.workflows.status._STILL_THERE_S", 0.0)
    keep_state(tmp_path, time.time(), url=url)
    shown: list[str] = []

    def gone(self: LocalDevice, command: list[str]) -> None:
        raise EdgenetError("the connection is lost")

    def show(page: str) -> None:
        shown.append(page)
        monkeypatch.setattr(LocalDevice, "run", gone)

    with pytest.raises(EdgenetError, match="the connection is lost"):
        follow_page("local", show)
    assert shown == [seen]


def test_a_service_without_a_page_is_said(notes: Path, tmp_path: Path) -> None:
    keep_state(tmp_path, time.time(), url=None)
    with pytest.raises(EdgenetError, match="local has no service that shows a live page now"):
        follow_page("local", pytest.fail)


def test_the_days_and_what_has_changed(
    notes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = [
        {"date": f"2026-11-0{day}", "seconds": 80_000, "unknown": 0.04, "confidence": 0.81}
        for day in range(1, 7)
    ]
    told = {"days": days, "changed": "the share of\x1b[2J unknown rose", "compared_days": 3}
    keep_state(tmp_path, time.time(), days=told)
    found = status("local")
    assert found.days[0] == DayRow("2026-11-01", 80_000, 0.04, 0.81)
    assert (len(found.days), found.changed) == (6, "the share of [2J unknown rose")
    status_command(["local"])
    shown = capsys.readouterr().out
    assert "first day   2026-11-01: 4.0 % unknown, mean confidence 81.0 %\n" in shown
    assert "last days   2026-11-04: 4.0 %" in shown
    assert "changed     the share of" in shown
    keep_state(tmp_path, time.time(), days={"days": [{"date": 1}], "changed": None})
    assert (status("local").days, status("local").label) == ((), "rose")  # the rest is shown all the same
