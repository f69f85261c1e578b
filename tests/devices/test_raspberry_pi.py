"""A Raspberry Pi from its first deploy on: the service, camera faults, power cuts, damaged files, a full disk.

The machine is emulated; its kernel, systemd, OpenSSH, V4L2 and Python are the real ones of a 64-bit Raspberry Pi OS's
Debian. The tests share it, and each continues where the one before ended, as its owner would.
"""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from brokers import Listener, RealBroker, require_mosquitto
from confined_attempts import MAY, allowed
from deploying_studio import deploying_studio
from interrupted import STEPS, interrupted
from virtual_devices import PATIENCE_S, PI_KNOWS_HOST_AS, STATE, Pi, wait_until

from edgenet.devices.targets import open_device
from edgenet.devices.unit import UNIT
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.workflows.configure import configure
from edgenet.workflows.deploy import Deployed, deploy, rollback
from edgenet.workflows.status import status

pytestmark = pytest.mark.slow
TARGET = "ssh:pi"
PAGE_PORT = 8080
KEPT = [("my_app", "kept")]
# All but 32 MB is reserved, which writes nothing; the rest is written to the last byte.
FILL = """
python3 -c "import os
disk = os.statvfs('.')
size = disk.f_bavail * disk.f_frsize - (32 << 20)
os.posix_fallocate(os.open('filled-most', os.O_CREAT | os.O_WRONLY), 0, size)"
fill() { dd if=/dev/zero of=filled-$1 bs=$1 status=none 2>/dev/null || true; }; fill 1M; fill 512; sync
"""


@pytest.fixture(scope="module")
def installed(pi: Pi, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The first deploy, with a program of the user's own: the Pi has no network, the camera shows red."""
    pi.camera("red")
    program = tmp_path_factory.mktemp("own") / "my_app.py"
    program.write_text("print('here')\n")
    page = str(PAGE_PORT)
    return deploy(colours, TARGET, offline=True, service=True, source="0", serve=page, with_=program)


def own_code(deployed: Deployed) -> list[tuple[str, str]]:
    """Return the names of the user's own programs, and what became of each."""
    return [(code.name, code.state) for code in deployed.code]


def journal(pi: Pi) -> str:
    """Return the service's log."""
    return pi.sh(f"journalctl --quiet --no-pager _SYSTEMD_USER_UNIT={UNIT}")


def times_back(pi: Pi) -> int:
    """Return how often the service's camera failed and came back."""
    return journal(pi).count("the camera is back")


@contextmanager
def events() -> Iterator[Iterator[dict[str, object]]]:
    """Yield the states that the page sends to a browser."""
    with (
        open_device(TARGET) as device,
        device.forward(PAGE_PORT) as here,
        urllib.request.urlopen(f"http://127.0.0.1:{here}/events", timeout=60) as answer,
    ):
        yield (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))


def cut_power(pi: Pi) -> None:
    """Cut the power; after the boot plug the camera, which is a kernel module here, in again."""
    pi.power("powercut")
    pi.camera("red")


def wait_for(colour: str, states: Iterator[dict[str, object]]) -> None:
    """Wait until the page tells that it sees a colour."""
    for _, state in zip(range(500), states, strict=False):
        if state.get("label") == colour:
            return
    raise AssertionError(f"the page never told {colour}")


def lost(pi: Pi) -> object:
    """Return what the service's own file says about missing frames: a look at `status` costs far more."""
    return json.loads(pi.sh(f"cat /run/user/1000/{STATE}"))["lost"]


def test_first_deploy_starts_a_service_that_sees(pi: Pi, installed: Deployed) -> None:
    assert installed.moved
    assert installed.swapped
    assert installed.service == "installed"
    assert own_code(installed) == [("my_app", "copied")]
    assert installed.facts.userland == "aarch64"
    assert any(package.startswith("ai-edge-litert") for package in installed.packages)
    pi.sees("red")
    assert "red" in journal(pi)
    with events() as states:
        wait_for("red", states)
        pi.camera("blue")
        pi.sees("blue")
        wait_for("blue", states)
    pi.camera("red")


def test_an_environment_takes_less_than_120_mb(pi: Pi, installed: Deployed) -> None:
    size = int(pi.sh("du -sm ~/.local/share/edgenet/environments").split()[0])
    assert size < 120


def test_a_second_deploy_moves_nothing(pi: Pi, installed: Deployed, colours: Path) -> None:
    again = deploy(colours, TARGET)
    assert (again.release, again.moved, again.swapped, again.packages) == (
        installed.release,
        False,
        False,
        (),
    )
    assert again.service is None
    assert own_code(again) == KEPT
    pi.sees("red")


def test_the_studio_deploys_watches_and_goes_back(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path
) -> None:
    """Everything that the buttons of the studio's step Deploy do with a device that runs a service."""
    with deploying_studio(tmp_path / "things", TARGET) as studio:
        bundle = studio.bundle("other", colours.read_bytes())
        assert studio.does("install")["previous"] == installed.release
        there = pi.sh("sha256sum ~/.local/share/edgenet/current/other.edgenet").split()[0]
        assert there == sha256(bundle)
        with studio.watching("page") as url, urllib.request.urlopen(f"{url}events", timeout=60) as answer:
            states = (json.loads(line[6:]) for line in answer if line.startswith(b"data: "))
            assert next(states)["model"].startswith("other.edgenet")
        assert studio.does("switch", running=False)
        assert studio.does("status")["service"] == "inactive"
        assert studio.does("switch", running=True)
        assert studio.does("rollback")["release"] == installed.release
    pi.sees("red")


def test_a_camera_that_fails_comes_back_without_a_restart(
    pi: Pi, installed: Deployed, pytestconfig: pytest.Config
) -> None:
    """Its stream dies, and then it is gone for a moment; after each, it shows what is new."""
    pi.sees("red")
    before = status(TARGET)
    for fault, colour in (("--fatal", "green"), ("--disconnect", "red")):
        times = times_back(pi)
        for back in range(times + 1, times + 1 + pytestconfig.getoption("--camera-faults")):
            pi.camera(fault)
            wait_until(lambda back=back: times_back(pi) >= back, PATIENCE_S, "the camera fails and is back")
        pi.camera(colour)
        pi.sees(colour)
    now = status(TARGET)
    assert (now.service, now.restarts) == ("active", before.restarts)


def test_the_service_sees_the_camera_and_can_do_little_else(pi: Pi, installed: Deployed) -> None:
    assert installed.notes == ()
    # Only root may restrict devices, so a user's service may use those that its user may use.
    assert allowed(pi) == {*MAY, "use another device"}
    assert pi.sh(f"stat -c %a /run/user/1000/{STATE}").strip() == "600"


def test_a_camera_that_is_unplugged_and_plugged_in_again(pi: Pi, installed: Deployed) -> None:
    pi.sees("red")
    pi.camera("--unbind")
    wait_until(lambda: lost(pi), PATIENCE_S, "the service tells that no frame comes")
    assert "camera" in str(status(TARGET).lost)
    pi.camera("--off")
    pi.camera("blue")
    pi.sees("blue")
    pi.camera("red")


def test_without_the_video_group_it_says_what_to_type(pi: Pi, installed: Deployed) -> None:
    pi.sh("sudo gpasswd -d pi video")
    try:
        with open_device(TARGET) as device:
            done = device.run(["sh", f"{device.home}/current/camera.sh", "0", "--frames", "1"])
        assert done.status == 1
        assert "no permission to use /dev/video0; sudo usermod -aG video" in done.last_line()
    finally:
        pi.sh("sudo usermod -aG video pi")


def test_a_camera_in_use_is_named_with_its_user(pi: Pi, installed: Deployed) -> None:
    pi.sees("red")

    def named() -> bool:
        with open_device(TARGET) as device:
            done = device.run(["sh", f"{device.home}/current/camera.sh", "0", "--frames", "1"])
        return done.status == 1 and "camera 0 is in use by python" in done.last_line()

    # While the service reopens the camera, nobody has it open, so a busy camera gives another message then.
    wait_until(named, PATIENCE_S, "the camera's user is named")


def test_a_model_damaged_on_the_card_is_reported_and_repaired(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    model = f"{installed.folder}/{colours.name}"
    pi.sh(f"chmod u+w {model}; printf X | dd of={model} bs=1 seek=600 conv=notrunc status=none")
    pi.sh(f"systemctl --user restart {UNIT} || true")
    wait_until(lambda: "damaged" in journal(pi), PATIENCE_S, "the damage is told")
    assert "damaged" in str(status(TARGET).last_error)
    repaired = deploy(colours, TARGET)
    assert repaired.moved
    assert repaired.release == installed.release
    pi.sees("red")


def test_a_full_card_loses_nothing(pi: Pi, installed: Deployed, colours: Path, tmp_path: Path) -> None:
    another = tmp_path / "another.edgenet"
    another.write_bytes(colours.read_bytes())
    pi.sh(FILL)
    try:
        with pytest.raises(EdgenetError, match="free some space"):
            deploy(another, TARGET)
        now = status(TARGET)
        assert (now.release, now.service) == (installed.release, "active")
    finally:
        pi.sh("rm filled-*")


def cut_off(
    pi: Pi, bundle: Path, step: int, monkeypatch: pytest.MonkeyPatch, only: Container[str] = STEPS
) -> str:
    """Deploy, and cut the power at a step of these kinds; return what edgenet's folder held then, "" without a cut."""
    held = []

    def cut() -> None:
        held.append(pi.sh("ls ~/.local/share/edgenet"))
        pi.power("off")

    with monkeypatch.context() as patch, suppress(EdgenetError):
        patch.setattr("edgenet.workflows.deploy.open_device", lambda to: interrupted(to, step, cut, only))
        deploy(bundle, TARGET)
    return "".join(held)


def test_power_cuts_while_another_release_comes(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut while its files are copied, and right after the swap; the service is there again each time, from boot on."""
    other = tmp_path / "another.edgenet"
    other.write_bytes(colours.read_bytes())
    assert "incoming" in cut_off(pi, other, 0, monkeypatch, only=("push",))
    pi.power("on")
    pi.camera("red")
    assert Path(pi.sh("readlink ~/.local/share/edgenet/current").strip()).name == installed.release
    second = deploy(other, TARGET)
    cut_power(pi)
    assert (second.moved, second.previous) == (True, installed.release)
    assert own_code(second) == KEPT
    now = status(TARGET)
    assert (now.release, now.bundle) == (second.release, other.name)
    pi.sees("red")


WHOLE = """
cd ~/.local/share/edgenet && test -e current/verified && (cd -P current && sha256sum --quiet -c SHA256SUMS) &&
cat apps/my_app/current/code/my_app.py && basename "$(readlink current)"
"""
"""Prints the user's own program and the ID of the release in use, if its files have their checksums."""


def test_the_power_is_cut_at_every_step_of_a_deploy(
    pi: Pi,
    installed: Deployed,
    colours: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pytestconfig: pytest.Config,
) -> None:
    """Each time another bundle comes; what runs from boot on is the release before or the new one, whole."""
    every = pytestconfig.getoption("--power-cuts")
    if not every:
        pytest.skip("each cut takes a boot of the virtual Pi; to run it: pytest --power-cuts 1")
    before = status(TARGET).release
    for step in itertools.count(0, every):
        new = tmp_path / f"cut-at-{step}.edgenet"
        new.write_bytes(colours.read_bytes())
        if not cut_off(pi, new, step, monkeypatch):
            break
        pi.power("on")
        pi.camera("red")
        pi.sees("red")
        code, runs = pi.sh(WHOLE).split("\n")[:-1]
        done = deploy(new, TARGET)
        print(f"step {step}: {'the old' if runs == before else 'the new'} release ran")
        assert runs in (before, done.release)
        assert (code, own_code(done)) == ("print('here')", KEPT)
        assert "incoming" not in pi.sh("ls ~/.local/share/edgenet")
        before = done.release
    assert step > 8


def test_without_namespaces_the_user_is_told_what_the_service_may_do(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    before = pi.sh("sudo sysctl -n user.max_user_namespaces").strip()
    pi.sh("sudo sysctl -q user.max_user_namespaces=0")
    try:
        done = deploy(colours, TARGET, service=True, source="0", serve=str(PAGE_PORT))
        assert [note for note in done.notes if "may read and write whatever its user may" in note]
        pi.sees("red")
        assert "become root" not in allowed(pi)
    finally:
        pi.sh(f"sudo sysctl -q user.max_user_namespaces={before}")


def test_the_service_publishes_events_on_a_broker(pi: Pi, installed: Deployed, tmp_path: Path) -> None:
    broker = RealBroker(require_mosquitto(), tmp_path)
    broker.start()
    listener = Listener(broker.port)

    def entered(label: str) -> bool:
        events = [json.loads(payload) for topic, payload, _ in listener.messages if topic.endswith("/event")]
        return any((event["kind"], event["label"]) == ("entered", label) for event in events)

    try:
        given = ("--mqtt", f"{PI_KNOWS_HOST_AS}:{broker.port}", "--fps", "5", "--flip", "h")
        configured = configure(TARGET, options=given)
        assert f"--mqtt={PI_KNOWS_HOST_AS}:{broker.port}" in configured.options
        wait_until(lambda: entered("red"), PATIENCE_S, "red entered")
        pi.camera("green")
        wait_until(lambda: entered("green"), PATIENCE_S, "green entered")
    finally:
        listener.stop()
        broker.stop()
        pi.camera("red")


AS_BEFORE = "/usr/bin/sudo-as-before"


@contextmanager
def sudo_asks_for_a_password(pi: Pi) -> Iterator[None]:
    """Let the Pi's user do nothing by sudo without a password, except the script that ends this."""
    sudoers = "/etc/sudoers.d/pi"
    pi.sh(
        f"printf '#!/bin/sh\nmv {sudoers}.kept {sudoers}\n' | sudo tee {AS_BEFORE} >/dev/null && "
        f"sudo chmod 755 {AS_BEFORE} && "
        f"printf 'pi ALL=(ALL) ALL\npi ALL=(root) NOPASSWD: {AS_BEFORE}\n' >asks && "
        f"sudo sh -c 'cp {sudoers} {sudoers}.kept && chmod 440 {sudoers}.kept && cat asks >{sudoers}'"
    )
    try:
        yield
    finally:
        pi.sh(f"sudo -n {AS_BEFORE} && rm asks")


def test_a_system_service_which_needs_sudo_without_a_password(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    """It comes after the power cuts, which leave a release to go back to. Its options replace those for the broker."""
    with (
        sudo_asks_for_a_password(pi),
        pytest.raises(EdgenetError, match="give --service instead of --system"),
    ):
        deploy(colours, TARGET, system_service=True)
    given = ("--threshold", "0.5")
    done = deploy(
        colours, TARGET, system_service=True, source="0", serve=f"0.0.0.0:{PAGE_PORT}", options=given
    )
    assert (done.service, done.notes) == ("installed", ())
    pi.sees("red", "/run")
    assert pi.sh(f"systemctl --user is-active {UNIT} || true").strip() == "inactive"
    assert pi.sh(f"stat -c '%a %U' /run/{STATE}").split() == ["600", "pi"]
    token = json.loads(pi.sh(f"cat /run/{STATE}"))["url"].rpartition("=")[2]
    assert len(token) > 15
    assert token not in pi.sh(
        f"sudo journalctl --quiet --no-pager _SYSTEMD_UNIT={UNIT}; ps axww; systemctl cat {UNIT}"
    )
    assert allowed(pi, system=True) == MAY
    with sudo_asks_for_a_password(pi):
        with pytest.raises(EdgenetError, match=f"still runs the old one, .*sudo systemctl restart {UNIT}"):
            rollback(TARGET)
        with pytest.raises(
            EdgenetError, match=f"has a system service, .*sudo systemctl disable --now {UNIT}"
        ):
            deploy(colours, TARGET, service=True)
    now = status(TARGET)
    assert (now.service, now.options) == ("active", ("--threshold=0.5",))
