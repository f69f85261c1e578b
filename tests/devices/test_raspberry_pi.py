"""A Raspberry Pi from its first deploy on: the service, camera faults, power cuts, damaged files, a full disk.

The machine is emulated; its kernel, systemd, OpenSSH, V4L2 and Python are the real ones of a 64-bit Raspberry Pi OS's
Debian. The tests share it, and each continues where the one before ended, as its owner would.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from brokers import Listener, RealBroker, require_mosquitto
from certificates import write_certificate
from confined_attempts import MAY, allowed
from edgenet_device.frames.photos import read_photo
from tiny_model import tiny_model
from update_site import serving
from virtual_devices import COLOURS, Pi, wait_until

from edgenet.bundle import sign_bundle, write_bundle
from edgenet.devices.targets import open_device
from edgenet.devices.unit import UNIT
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder
from edgenet.manifest import Facts, Weights
from edgenet.signing import open_signer, write_key_pair
from edgenet.workflows.collect import collect
from edgenet.workflows.configure import configure
from edgenet.workflows.deploy import Deployed, deploy, rollback
from edgenet.workflows.publish import publish
from edgenet.workflows.status import status

pytestmark = pytest.mark.slow
TARGET = "ssh:pi"
PAGE_PORT = 8080
STATE = "edgenet/camera.json"
PATIENCE_S = 240
PI_KNOWS_HOST_AS = "10.0.2.2"
ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT.parent / "shared" / "cases" / "models" / "uint8_dead_end.tflite"
CHURCH = ROOT / "calibration_data" / "0002_church.jpg"
# All but 32 MB is reserved, which writes nothing; the rest is written to the last byte.
FILL = """
python3 -c "import os
disk = os.statvfs('.')
size = disk.f_bavail * disk.f_frsize - (32 << 20)
os.posix_fallocate(os.open('filled-most', os.O_CREAT | os.O_WRONLY), 0, size)"
fill() { dd if=/dev/zero of=filled-$1 bs=$1 status=none 2>/dev/null || true; }; fill 1M; fill 512; sync
"""


OWN_PROGRAM = """import os
from edgenet_device import Camera, Classifier, classify_frames

for seen in classify_frames(Classifier(os.environ["EDGENET_BUNDLE"]), Camera(0)):
    with open("seen.txt", "w") as file:  # in the service's state folder
        file.write(str(seen.label))
"""


@pytest.fixture(scope="module")
def installed(pi: Pi, colours: Path) -> Deployed:
    """The first deploy: the Pi has no network, the camera shows red."""
    pi.camera("red")
    return deploy(colours, TARGET, offline=True, service=True, source="0", serve=str(PAGE_PORT))


def own_code(deployed: Deployed) -> list[tuple[str, str]]:
    """Return the names of the user's own programs, and what became of each."""
    return [(code.name, code.state) for code in deployed.code]


def sees(pi: Pi, colour: str, folder: str = "/run/user/1000") -> None:
    """Wait until the service reports this; its file is read directly, because that is fastest."""
    state = f"cat {folder}/{STATE}; echo; date +%s"

    def now() -> bool:
        told, _, clock = pi.sh(state).strip().rpartition("\n")
        kept = json.loads(told or "{}")
        return kept.get("label") == colour and float(clock) - kept["written"] < 3

    wait_until(now, PATIENCE_S, f"the service sees {colour}")


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
    pi.power_cut()
    pi.camera("red")


def page_sees(colour: str) -> None:
    with events() as states:
        for _, state in zip(range(500), states, strict=False):
            if state.get("label") == colour:
                return
    raise AssertionError(f"the page never told {colour}")


def test_first_deploy_starts_a_service_that_sees(pi: Pi, installed: Deployed) -> None:
    assert installed.moved
    assert installed.swapped
    assert installed.service == "installed"
    assert installed.facts.userland == "aarch64"
    assert any(package.startswith("ai-edge-litert") for package in installed.packages)
    sees(pi, "red")
    page_sees("red")
    assert "red" in journal(pi)
    pi.camera("blue")
    sees(pi, "blue")
    page_sees("blue")
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
    sees(pi, "red")


@pytest.mark.parametrize("fault", ["--fatal", "--disconnect"])
def test_a_camera_that_fails_comes_back_without_a_restart(
    pi: Pi, installed: Deployed, fault: str, pytestconfig: pytest.Config
) -> None:
    sees(pi, "red")
    before, times = status(TARGET), times_back(pi)
    for back in range(times + 1, times + 1 + pytestconfig.getoption("--camera-faults")):
        pi.camera(fault)
        wait_until(lambda back=back: times_back(pi) >= back, PATIENCE_S, "the camera fails and is back")
    pi.camera("green")
    sees(pi, "green")
    now = status(TARGET)
    assert (now.service, now.restarts) == ("active", before.restarts)
    pi.camera("red")


def test_the_service_sees_the_camera_and_can_do_little_else(pi: Pi, installed: Deployed) -> None:
    assert installed.notes == ()
    # Only root may restrict devices, so a user's service may use those that its user may use.
    assert allowed(pi) == {*MAY, "use another device"}
    assert pi.sh(f"stat -c %a /run/user/1000/{STATE}").strip() == "600"


def test_a_camera_that_is_unplugged_and_plugged_in_again(pi: Pi, installed: Deployed) -> None:
    sees(pi, "red")
    pi.camera("--unbind")
    wait_until(lambda: status(TARGET).lost, PATIENCE_S, "the service tells that no frame comes")
    assert "camera" in str(status(TARGET).lost)
    pi.sh("sudo systemctl stop camera-feed; sudo rmmod vivid")
    pi.camera("blue")
    sees(pi, "blue")
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
    sees(pi, "red")

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
    wait_until(lambda: "damaged" in str(status(TARGET).last_error), PATIENCE_S, "the damage is told")
    repaired = deploy(colours, TARGET)
    assert repaired.moved
    assert repaired.release == installed.release
    sees(pi, "red")


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


def test_power_cuts_while_another_release_comes(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path
) -> None:
    """Cut while its files are copied, and right after the swap; the service is there again each time, from boot on."""
    other = tmp_path / "other.edgenet"
    other.write_bytes(colours.read_bytes())
    command = [sys.executable, "-m", "edgenet", "deploy", str(other), "--on", TARGET]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as deploying:
        folder = f"{installed.folder.rpartition('/releases/')[0]}"
        wait_until(lambda: "incoming" in pi.sh(f"ls {folder}"), PATIENCE_S, "files are on their way")
        cut_power(pi)
        deploying.communicate()
        assert deploying.returncode == 1
    assert status(TARGET).release == installed.release
    second = deploy(other, TARGET)
    cut_power(pi)
    assert (second.moved, second.previous) == (True, installed.release)
    now = status(TARGET)
    assert (now.release, now.bundle) == (second.release, other.name)
    sees(pi, "red")


def test_without_namespaces_the_user_is_told_what_the_service_may_do(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    before = pi.sh("sudo sysctl -n user.max_user_namespaces").strip()
    pi.sh("sudo sysctl -q user.max_user_namespaces=0")
    try:
        done = deploy(colours, TARGET, service=True, source="0", serve=str(PAGE_PORT))
        assert [note for note in done.notes if "may read and write whatever its user may" in note]
        sees(pi, "red")
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
        nothing = tmp_path / "camera.toml"
        nothing.touch()
        configure(TARGET, config=nothing)
        pi.camera("red")


@contextmanager
def package_index(pi: Pi, packages: tuple[str, ...], folder: Path) -> Iterator[None]:
    """Give the Pi an index over https with the wheels of an earlier offline deploy, and the index's certificate."""
    wheels = [path for path in (cache_folder() / "wheels").glob("*/*.whl") if "aarch64" in path.name]
    for package in packages:
        name, _, version = package.partition("==")
        (folder / "index" / "simple" / name).mkdir(parents=True)
        for path in wheels:
            if path.name.startswith(f"{name.replace('-', '_')}-{version}-"):
                shutil.copy(path, folder / "index" / "simple" / name)
    certificate = folder / "index.crt"
    write_certificate(certificate, address=PI_KNOWS_HOST_AS)
    shown = certificate.read_text().partition("-----BEGIN PRIVATE")[0]
    with serving(folder / "index", certificate, SimpleHTTPRequestHandler) as port:
        pi.sh(
            "sudo mkdir -p /usr/local/share/ca-certificates && "
            f"echo '{shown}' | sudo tee /usr/local/share/ca-certificates/index.crt >/dev/null && "
            "sudo update-ca-certificates >/dev/null && mkdir -p ~/.config/pip && "
            f"printf '[global]\nindex-url = https://{PI_KNOWS_HOST_AS}:{port}/simple\n' >~/.config/pip/pip.conf"
        )
        yield


def test_packages_come_from_an_index_over_https(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path
) -> None:
    """The Pi's own pip brings them, in an environment that is made anew; a program of one's own comes along."""
    (tmp_path / "my_app.py").write_text(OWN_PROGRAM)
    with package_index(pi, installed.packages, tmp_path):
        pi.sh("rm -r ~/.local/share/edgenet/environments")
        online = deploy(colours, TARGET, with_=tmp_path / "my_app.py")
    assert online.packages == installed.packages
    assert own_code(online) == [("my_app", "copied")]
    pi.sh(f"systemctl --user restart {UNIT}")
    sees(pi, "red")


def test_a_file_of_another_maker_is_deployed_and_keeps_what_it_does_not_know(
    pi: Pi, installed: Deployed, tmp_path: Path
) -> None:
    """Coral's uint8 MobileNet V1 with the quantization of TensorFlow 1. It has never seen a red wall."""
    if not FOREIGN.is_file():
        pytest.skip("no shared cases")
    keeps = ["--keep-uncertain", "5"]
    deployed = deploy(FOREIGN, TARGET, service=True, source="0", serve=str(PAGE_PORT), options=keeps)
    assert (deployed.moved, status(TARGET).bundle) == (True, FOREIGN.name)
    assert own_code(deployed) == [("my_app", "kept")]

    def comes_over() -> bool:
        with suppress(EdgenetError):  # until one is kept
            return collect(tmp_path / "field", TARGET).new > 0
        return False

    wait_until(comes_over, PATIENCE_S, "a photo is kept and collected")
    [photo] = (tmp_path / "field" / "unlabelled").glob("*/*.jpg")
    colour = read_photo(photo)[240, 320]
    assert np.abs(colour - np.array(COLOURS["red"])).max() < 12
    pi.camera(str(CHURCH))
    sees(pi, "street sign")
    pi.camera("red")
    assert rollback(TARGET).release == deployed.previous
    sees(pi, "red")


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
    """It comes after the power cuts, which leave a release to go back to."""
    with (
        sudo_asks_for_a_password(pi),
        pytest.raises(EdgenetError, match="give --service instead of --system"),
    ):
        deploy(colours, TARGET, system_service=True)
    done = deploy(colours, TARGET, system_service=True, source="0", serve=f"0.0.0.0:{PAGE_PORT}")
    assert (done.service, done.notes) == ("installed", ())
    sees(pi, "red", "/run")
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
    assert status(TARGET).service == "active"


def test_a_program_of_ones_own_runs_as_confined_as_the_camera(
    pi: Pi, installed: Deployed, colours: Path
) -> None:
    """It came four deploys and two rollbacks before; the last of these left the other maker's file in use."""
    assert own_code(deploy(colours, TARGET)) == [("my_app", "kept")]
    configure(TARGET, run="my_app.py")
    seen = "sudo cat /var/lib/edgenet/seen.txt 2>/dev/null || true"
    wait_until(lambda: pi.sh(seen) == "red", PATIENCE_S, "the program sees red")
    assert (status(TARGET).program, status(TARGET).service) == ("my_app.py", "active")
    configure(TARGET, run="camera.py")
    sees(pi, "red", "/run")


def test_an_update_that_the_pi_fetches_itself(
    pi: Pi, installed: Deployed, colours: Path, tmp_path: Path
) -> None:
    """It is the last test, because from now on the Pi takes only bundles that are signed."""
    pair, certificate = write_key_pair(tmp_path / "maker.key"), tmp_path / "authority.pem"
    write_certificate(certificate, address=PI_KNOWS_HOST_AS)
    signed, newer = tmp_path / "signed.edgenet", tmp_path / "newer.edgenet"
    sign_bundle(colours, signed, open_signer(pair.private))
    write_bundle(newer, tiny_model(size=32), list(COLOURS), Facts("newer", Weights("a test", "Apache-2.0")))
    with serving(tmp_path / "site", certificate) as port:
        url = f"https://{PI_KNOWS_HOST_AS}:{port}"
        deploy(signed, TARGET, trust=pair.public, updates=url)
        published = publish(newer, tmp_path / "site", sign=pair.private)
        assert pi.sh("systemctl --user is-active edgenet-update.timer").strip() == "active"
        pi.sh(f"echo '{certificate.read_text()}' >authority.pem")
        update = f"~/.local/share/edgenet/edgenet-device update {url} --ca authority.pem --watch 5"
        assert "is in use now" in pi.sh(update)
    now = status(TARGET)
    assert (now.bundle, now.service) == (Path(published.bundle).name, "active")
    sees(pi, "red", "/run")
