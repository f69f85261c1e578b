"""A phone where things go wrong: cables, kills, full disks, folders that start nothing.

The phone is the virtual one: its transport, shell and file system are real. Its Python is not tested here, so a
stand-in provides it (`small_pack`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from phone_faults import ALL_BYTES
from tiny_model import tiny_model
from virtual_devices import Inside, phone_name, running_phone

pytestmark = pytest.mark.slow
TESTS = Path(__file__).resolve().parents[1]
HOME = "/data/local/tmp/edgenet"
SIZES = count(8)
RUNNING = f"ls {HOME}/current/*.tflite"
LOST = "the connection to adb is lost; check the cable, then run the same command again"
BROWSER = (
    "use the phone's browser: edgenet camera BUNDLE --on adb, or edgenet bench BUNDLE --on adb --browser"
)
# Beyond those where adb looks for emulators by itself, and would find each phone a second time.
PORT, SECOND_PORT = 6011, 6013
DEPLOY = """
import sys
from edgenet.commands.app import main
from small_pack import use_small_pack
use_small_pack("small")
sys.argv[0] = "edgenet"
main()
"""


@dataclass(frozen=True)
class Phone:
    """A running phone, with what these tests do to it."""

    name: str
    port: int
    inside: Inside

    @property
    def serial(self) -> str:
        """Return the serial by which adb knows the phone."""
        return f"127.0.0.1:{self.port}"

    def python(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run this Python beside the phone; it can import the tests' shared modules."""
        # The project first: tests/ has folders of the same names, which Python would take for namespace packages.
        paths = [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        return self.inside(sys.executable, *command, PYTHONPATH=os.pathsep.join(paths))

    def deploy(self, bundle: Path) -> subprocess.CompletedProcess[str]:
        """Run `edgenet deploy`, with the stand-in pack."""
        return self.python("-c", DEPLOY, "deploy", str(bundle), "--on", f"adb:{self.serial}")

    def sh(self, text: str) -> str:
        """Return the output of a command in its shell."""
        return self.inside("adb", "-s", self.serial, "shell", text).stdout


@contextmanager
def a_phone(port: int = PORT, **settings: str) -> Iterator[Phone]:
    """Run a phone while the block runs."""
    name = phone_name()
    with running_phone(PHONE=name, PHONE_PORT=str(port), **settings) as inside:
        yield Phone(name, port, inside)


@pytest.fixture(scope="module")
def phone() -> Iterator[Phone]:
    """A phone whose disk can be filled: bytes and files."""
    with a_phone(PHONE_DATA="size=208m,nr_inodes=600") as started:
        yield started


def model(folder: Path, name: str) -> Path:
    """Return a model that differs from all others."""
    path = folder / name
    path.write_bytes(tiny_model(size=next(SIZES)))
    return path


@pytest.mark.parametrize(
    ("event", "said"),
    [("killed", "exit status -9"), ("cable_pulled", LOST), ("disk_filled", "free some space on the device")],
)
def test_deploy_stopped_at_every_step(phone: Phone, tmp_path: Path, event: str, said: str) -> None:
    """The first deploy on an empty phone: after each fault, either the earlier release runs whole, or nothing runs."""
    new = model(tmp_path, f"{event}.tflite")
    done = phone.python(str(TESTS / "phone_faults.py"), event, str(new))
    assert done.returncode == 0, done.stderr
    before, *lines = done.stdout.splitlines()
    failed = [line.split("\t") for line in lines]
    assert len(failed) > 8
    assert {runs for runs, _ in failed[:-1]} == {before}
    assert failed[-1][0] in (before, new.name)  # the last step comes after the swap
    assert all(reason.endswith(said) for _, reason in failed), failed


IN_A_FILE = """
import os, subprocess, sys
from edgenet.devices.targets import open_device
event, folder = sys.argv[1].split(), sys.argv[2]

def cut(stage, done, total):
    if event and done > total / 2:
        subprocess.run(["adb", *event], check=True, capture_output=True)
        event.clear()

with open_device("adb") as phone:
    phone.push({"whole": b"1", "cut": bytes(20_000_000)}, folder, cut)
"""


@pytest.mark.parametrize("event", [f"disconnect 127.0.0.1:{PORT}", "kill-server"])
def test_connection_cut_in_the_middle_of_a_file(phone: Phone, event: str) -> None:
    folder = f"{HOME}/cut"
    done = phone.python("-c", IN_A_FILE, event, folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(LOST)
    phone.inside("adb", "connect", phone.serial)
    assert phone.sh(f"stat -c %s {folder}/whole").strip() == "1"
    assert phone.python("-c", IN_A_FILE, "", folder).returncode == 0
    assert phone.sh(f"stat -c %s {folder}/cut").strip() == "20000000"
    phone.sh(f"rm -r {folder}")


def test_no_room_for_the_release(phone: Phone, tmp_path: Path) -> None:
    old, new = model(tmp_path, "old.tflite"), model(tmp_path, "new.tflite")
    first = phone.deploy(old)
    assert first.returncode == 0
    command = f"adb -s {phone.serial} shell sh {HOME}/current/classify.sh /sdcard/DCIM/Camera"
    assert f"classify its photos: {command}\n" in first.stdout
    phone.sh(f"mkdir {HOME}/filler; cd {HOME}/filler; {ALL_BYTES}")
    full = phone.deploy(new)
    phone.sh(f"rm -r {HOME}/filler")
    assert full.returncode == 1
    assert full.stderr.startswith("edgenet: cannot copy ")
    assert full.stderr.endswith("No space left on device; free some space on the device\n")
    assert phone.sh(RUNNING) == f"{HOME}/current/old.tflite\n"
    assert phone.deploy(new).returncode == 0
    assert phone.sh(RUNNING) == f"{HOME}/current/new.tflite\n"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PHONE_DATA": "size=100m"}, "has 105 MB free but needs 210 MB; free some space on the device"),
        (
            {"PHONE_DATA": "noexec"},
            f"cannot start programs in {HOME}: it is mounted noexec, or Android forbids it; {BROWSER}",
        ),
        (
            {"PHONE_PROPS": "ro.product.cpu.abilist=armeabi-v7a,armeabi\nro.build.version.release=10\n"},
            f"is armv7l, and the pack is for 64-bit Arm; {BROWSER}",
        ),
    ],
)
def test_phones_that_cannot_take_the_pack(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    if "PHONE_PROPS" in settings:
        (tmp_path / "build.prop").write_text(settings["PHONE_PROPS"])
        settings = {"PHONE_PROPS": str(tmp_path / "build.prop")}
    with a_phone(**settings) as unfit:
        done = unfit.deploy(model(tmp_path, "small.tflite"))
        assert (done.returncode, done.stderr) == (1, f"edgenet: adb:{unfit.serial} {said}\n")
        assert unfit.sh(f"ls {HOME}/releases {HOME}/current 2>/dev/null || echo none") == "none\n"


def test_two_phones_at_once_with_a_release_each(phone: Phone, tmp_path: Path) -> None:
    names = ("here.tflite", "there.tflite")
    with a_phone(SECOND_PORT, PHONE_BESIDE=phone.name) as other, ThreadPoolExecutor() as pool:
        phones = (phone, other)
        bundles = [model(tmp_path, name) for name in names]
        assert [done.returncode for done in pool.map(Phone.deploy, phones, bundles)] == [0, 0]
        for one, name in zip(phones, names, strict=True):
            # Asked through the first phone's adb server, which knows both.
            found = phone.inside("adb", "-s", one.serial, "shell", RUNNING).stdout
            assert found == f"{HOME}/current/{name}\n"
