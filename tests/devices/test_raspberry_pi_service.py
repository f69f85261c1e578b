"""A second Raspberry Pi, with a system service: packages from an index, another maker's file, a program of one's own.

The machine is emulated, as in test_raspberry_pi.py. The tests share it, and each continues where the one before ended.
They take over ten minutes, so they run only with --second-pi.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from certificates import write_certificate
from edgenet_device.frames.photos import read_photo
from tiny_model import tiny_model
from update_site import serving
from virtual_devices import COLOURS, PATIENCE_S, PI_KNOWS_HOST_AS, Pi, wait_until

from edgenet.bundle import sign_bundle, write_bundle
from edgenet.devices.environment import python_of
from edgenet.devices.targets import open_device
from edgenet.devices.unit import UNIT
from edgenet.devices.wheels import requirements, wheels_for
from edgenet.errors import EdgenetError
from edgenet.manifest import Facts, Weights
from edgenet.progress import silent
from edgenet.signing import KeyPair, open_signer, write_key_pair
from edgenet.workflows.collect import collect
from edgenet.workflows.configure import configure
from edgenet.workflows.deploy import Deployed, deploy, rollback
from edgenet.workflows.publish import publish
from edgenet.workflows.status import status

pytestmark = pytest.mark.slow
TARGET = "ssh:pi"
RUN = "/run"
ROOT = Path(__file__).resolve().parents[2]
FOREIGN = ROOT.parent / "shared" / "cases" / "models" / "uint8_dead_end.tflite"
CHURCH = ROOT / "calibration_data" / "0002_church.jpg"
OWN_PROGRAM = """import os
from edgenet_device import Camera, Classifier, classify_frames

for seen in classify_frames(Classifier(os.environ["EDGENET_BUNDLE"]), Camera(0)):
    with open("seen.txt", "w") as file:  # in the service's state folder
        file.write(str(seen.label))
"""


@contextmanager
def package_index(pi: Pi, folder: Path) -> Iterator[None]:
    """Hand out packages over https from this machine; the Pi's pip asks there, and knows the certificate."""
    with open_device(TARGET) as device:
        facts = device.facts()
        needed = requirements(facts, python_of(device, facts))
    for wheel in wheels_for(needed, silent):
        place = folder / "simple" / wheel.name.partition("-")[0].replace("_", "-")
        place.mkdir(parents=True)
        shutil.copy(wheel, place)
    certificate = folder.with_suffix(".pem")
    write_certificate(certificate, address=PI_KNOWS_HOST_AS)
    trust(pi, certificate, "index")
    with serving(folder, certificate, SimpleHTTPRequestHandler) as port:
        pi.sh(
            "mkdir -p ~/.config/pip && "
            f"printf '[global]\nindex-url = https://{PI_KNOWS_HOST_AS}:{port}/simple\n' >~/.config/pip/pip.conf"
        )
        yield


def trust(pi: Pi, certificate: Path, name: str) -> None:
    """Let the Pi's system trust a certificate's authority."""
    shown, folder = (
        certificate.read_text().partition("-----BEGIN PRIVATE")[0],
        "/usr/local/share/ca-certificates",
    )
    pi.sh(
        f"sudo mkdir -p {folder} && echo '{shown}' | sudo tee {folder}/{name}.crt >/dev/null && "
        "sudo update-ca-certificates >/dev/null"
    )


@pytest.fixture(scope="module", autouse=True)
def asked_for(pytestconfig: pytest.Config) -> None:
    """Skips before anything is started."""
    if not pytestconfig.getoption("--second-pi"):
        pytest.skip("the second virtual Pi takes ten minutes; to run it: pytest --second-pi")


@pytest.fixture(scope="module")
def installed(asked_for: None, pi: Pi, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    """The first deploy, with a program of one's own; the camera shows red."""
    pi.camera("red")
    program = tmp_path_factory.mktemp("own") / "my_app.py"
    program.write_text(OWN_PROGRAM)
    with package_index(pi, tmp_path_factory.mktemp("index")):
        return deploy(colours, TARGET, system_service=True, source="0", with_=program)


def own_code(deployed: Deployed) -> list[tuple[str, str]]:
    """Return the names of the user's own programs, and what became of each."""
    return [(code.name, code.state) for code in deployed.code]


def test_first_deploy_starts_a_system_service_that_sees(pi: Pi, installed: Deployed) -> None:
    assert any(package.startswith("ai-edge-litert") for package in installed.packages)
    assert own_code(installed) == [("my_app", "copied")]
    pi.sees("red", RUN)


def test_a_file_of_another_maker_is_deployed_and_keeps_what_it_does_not_know(
    pi: Pi, installed: Deployed, tmp_path: Path
) -> None:
    """Coral's uint8 MobileNet V1 with the quantization of TensorFlow 1. It has never seen a red wall."""
    if not FOREIGN.is_file():
        pytest.skip("no shared cases")
    keeps = ["--keep-uncertain", "5"]
    deployed = deploy(FOREIGN, TARGET, system_service=True, source="0", options=keeps)
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
    pi.sees("street sign", RUN)
    pi.camera("red")
    assert rollback(TARGET).release == deployed.previous
    pi.sees("red", RUN)


def test_a_program_of_ones_own_runs_as_confined_as_the_camera(pi: Pi, installed: Deployed) -> None:
    """Two deploys and a rollback came after it."""
    configure(TARGET, run="my_app.py")
    seen = "sudo cat /var/lib/edgenet/seen.txt 2>/dev/null || true"
    wait_until(lambda: pi.sh(seen) == "red", PATIENCE_S, "the program sees red")
    assert (status(TARGET).program, status(TARGET).service) == ("my_app.py", "active")
    configure(TARGET, run="camera.py")
    pi.sees("red", RUN)


def test_a_v4l2_camera_is_set_and_what_its_driver_lacks_is_told(pi: Pi, installed: Deployed) -> None:
    """The kernel's vivid has several sizes, rates and formats, and neither exposure time nor white balance."""
    wanted = ["--size=320x180", "--fps=15", "--format=YUYV", "--exposure=20", "--white-balance=4000"]
    pi.sh(f"sudo systemctl stop {UNIT}")
    try:
        pi.camera("--pattern")
        with open_device(TARGET) as device:
            camera = f"{device.home}/current/camera.sh"
            done = device.run(["sh", camera, "0", *wanted, "--rotate=180", "--frames=3"])
        now = pi.sh("v4l2-ctl -d0 --get-fmt-video --get-parm")
    finally:
        pi.camera("red")
        pi.sh(f"sudo systemctl start {UNIT}")
    said = done.err.decode()
    assert done.status == 0, said
    assert ("320/180" in now, "'YUYV'" in now, "15.000" in now) == (True, True, True), now
    assert "camera 0 does not let its exposure" in said
    assert "camera 0 does not let its white balance be set to 4000" in said
    pi.sees("red", RUN)


PIN_PACKAGES = ("gpiozero==2.0.1", "colorzero==2.0", "lgpio==0.2.2.0")
# As on Raspberry Pi OS, the group gpio may use the pins. The board has a PL061 with eight; gpiozero is told that it is
# a Raspberry Pi 4, whose pins 0 to 7 they are then. The kernel itself uses pin 3.
GIVE_PINS = f"""
sudo cp -r ~/pins/. /usr/lib/python3/dist-packages
sudo groupadd -f gpio && sudo usermod -aG gpio pi && sudo chgrp gpio /dev/gpiochip0 && sudo chmod 660 /dev/gpiochip0
(cat /proc/cpuinfo; printf 'Revision\t: c03114\n') | sudo tee /etc/cpuinfo-of-a-pi >/dev/null
printf '[Service]\nBindReadOnlyPaths=/etc/cpuinfo-of-a-pi:/proc/cpuinfo\n' |
    sudo tee /etc/systemd/system/{UNIT}.d/pins.conf >/dev/null
"""


def test_a_pin_of_the_kernel_is_on_while_its_label_is_seen(
    pi: Pi, installed: Deployed, tmp_path: Path
) -> None:
    """With the real gpiozero and lgpio, within the limits of a system service."""
    wheels = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "-d",
        tmp_path,
    ]
    for_the_pi = ["--python-version=3.11", "--platform=manylinux_2_34_aarch64", "--platform=any"]
    subprocess.run([*wheels, *for_the_pi, *PIN_PACKAGES], check=True)
    unpacked = tmp_path / "pins"
    for wheel in tmp_path.glob("*.whl"):
        ZipFile(wheel).extractall(unpacked)
    files = {str(path.relative_to(unpacked)): path for path in unpacked.rglob("*") if path.is_file()}
    with open_device(TARGET) as device:
        device.push(files, "/home/pi/pins")
    pi.sh(GIVE_PINS)

    def level(wanted: str) -> None:
        """Wait for the level of pin 4 in the kernel's own list."""
        listed = "sudo grep -c 'gpio-508 .*|lg .* out %s' /sys/kernel/debug/gpio || true"
        wait_until(lambda: pi.sh(listed % wanted).strip() == "1", PATIENCE_S, f"pin 4 is {wanted}")

    configure(TARGET, options=["--gpio", "4=green"])
    level("lo")
    pi.camera("green")
    level("hi")
    pi.camera("red")
    level("lo")
    with pytest.raises(EdgenetError, match=r"the pin 3 is in use \('GPIO busy'\)"):
        configure(TARGET, options=["--gpio", "3=green"])
    nothing = tmp_path / "camera.toml"
    nothing.touch()
    configure(TARGET, config=nothing)
    pi.sees("red", RUN)


@dataclass(frozen=True)
class UpdateSite:
    """A running web server with updates, whose authority the Pi's system knows, and the key that signs them."""

    folder: Path
    url: str
    pair: KeyPair

    def publish(self, work: Path, name: str, size: int) -> str:
        """Publish a bundle; return its name there."""
        newer = work / f"{name}.edgenet"
        write_bundle(
            newer, tiny_model(size=size), list(COLOURS), Facts(name, Weights("a test", "Apache-2.0"))
        )
        return Path(publish(newer, self.folder, sign=self.pair.private).bundle).name


@pytest.fixture(scope="module")
def site(pi: Pi, installed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpdateSite]:
    folder = tmp_path_factory.mktemp("updates")
    certificate = folder / "authority.pem"
    write_certificate(certificate, address=PI_KNOWS_HOST_AS)
    trust(pi, certificate, "updates")
    with serving(folder / "site", certificate) as port:
        url = f"https://{PI_KNOWS_HOST_AS}:{port}"
        yield UpdateSite(folder / "site", url, write_key_pair(folder / "maker.key"))


def says(text: str) -> bool:
    """Return whether the Pi's last look for updates ended with this."""
    return text in str(status(TARGET).updates)


def test_the_timer_fetches_an_update_soon_after_the_start(
    pi: Pi, site: UpdateSite, colours: Path, tmp_path: Path
) -> None:
    """It is the last test, because from now on the Pi takes only bundles that are signed."""
    signed = tmp_path / "signed.edgenet"
    sign_bundle(colours, signed, open_signer(site.pair.private))
    newer = site.publish(tmp_path, "newer", 32)
    third = deploy(signed, TARGET, trust=site.pair.public, updates=site.url)
    assert own_code(third) == [("my_app", "kept")]
    # The first look comes 2 to 12 minutes after the boot; then the update is watched for three.
    wait_until(lambda: says(f"{newer} is in use now"), 4 * PATIENCE_S, "the timer has installed the update")
    now = status(TARGET)
    assert (now.bundle, now.service) == (newer, "active")
    pi.sees("red", RUN)
