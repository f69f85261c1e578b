"""Releases on a device and the swap between them; the device is this machine, its shell is the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from old_release import BUNDLE, write_old_release
from tiny_model import tiny_model

from edgenet.assets import calibration_photos
from edgenet.devices import releases
from edgenet.devices.local import LocalDevice
from edgenet.devices.releases import SCRIPTS, Release, release_of
from edgenet.errors import EdgenetError
from edgenet.workflows.deploy import rollback
from edgenet.workflows.status import status


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDevice:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "it's $(here)"))
    return LocalDevice()


def release(folder: Path, content: bytes) -> Release:
    (folder / "a model.tflite").write_bytes(content)
    return release_of(folder / "a model.tflite", "key")


def put(device: LocalDevice, new: Release) -> str:
    device.push(new.files, releases.prepare(device, new.identity))
    releases.commit(device, new.identity, "key")
    releases.mark_verified(device, new.identity)
    return new.identity


def test_each_takes_the_place_of_the_one_before(device: LocalDevice, tmp_path: Path) -> None:
    first, second = (put(device, release(tmp_path, content)) for content in (b"1", b"2"))
    assert releases.running(device) == (None, None)
    releases.activate(device, first)
    assert releases.running(device) == (first, None)
    releases.activate(device, second)
    assert releases.running(device) == (second, first)
    releases.activate(device, second)  # nothing changes
    assert releases.running(device) == (second, first)
    releases.activate(device, first)
    assert releases.running(device) == (first, second)


def test_a_changed_byte_is_noticed_and_repaired(device: LocalDevice, tmp_path: Path) -> None:
    new = release(tmp_path, b"1")
    releases.activate(device, put(device, new))
    model = Path(device.home, "current", new.bundle)
    assert releases.is_intact(device, new.identity)
    model.write_bytes(b"x")
    assert not releases.is_intact(device, new.identity)
    put(device, new)
    assert releases.is_intact(device, new.identity)
    assert model.read_bytes() == b"1"
    assert sorted(os.listdir(device.home)) == ["current", "releases", "set-aside"]


def test_what_was_copied_wrongly_gets_no_name(device: LocalDevice, tmp_path: Path) -> None:
    new = release(tmp_path, b"1")
    device.push({**new.files, new.bundle: b"2"}, releases.prepare(device, new.identity))
    with pytest.raises(EdgenetError, match=r"cannot accept the copied files on local: .*checksum"):
        releases.commit(device, new.identity, "key")
    assert not Path(device.home, "releases", new.identity).exists()


def test_a_release_that_never_ran_is_not_activated(device: LocalDevice, tmp_path: Path) -> None:
    new = release(tmp_path, b"1")
    device.push(new.files, releases.prepare(device, new.identity))
    releases.commit(device, new.identity, "key")
    with pytest.raises(EdgenetError, match="cannot activate the release"):
        releases.activate(device, new.identity)


def test_old_ones_go_but_not_those_to_go_back_to(device: LocalDevice, tmp_path: Path) -> None:
    kept = [put(device, release(tmp_path, b"%d" % number)) for number in range(3)]
    for identity in kept:
        releases.activate(device, identity)
    later = [put(device, release(tmp_path, b"%d" % number)) for number in range(3, 8)]
    for age, identity in enumerate(reversed(later)):
        os.utime(Path(device.home, "releases", identity), (10**9 - age, 2 * 10**9 - age))
    for key in ("key", "unused"):
        Path(device.home, "environments", key).mkdir(parents=True)
    releases.prune(device)
    assert sorted(os.listdir(Path(device.home, "releases"))) == sorted([*kept, *later[-3:]])
    assert os.listdir(Path(device.home, "environments")) == ["key"]


def test_half_copied_ones_go(device: LocalDevice, tmp_path: Path) -> None:
    device.push({"a": b""}, releases.prepare(device, "0123"))
    put(device, release(tmp_path, b"1"))
    assert sorted(os.listdir(device.home)) == ["releases"]


def test_a_name_that_a_checksum_file_cannot_hold(tmp_path: Path) -> None:
    (tmp_path / "a\nb.edgenet").write_bytes(b"")
    assert release_of(tmp_path / "a\nb.edgenet", None).bundle == "model.edgenet"


def camera(device: LocalDevice, *arguments: str) -> str:
    """What the camera.sh that is in use prints, as the service and a person start it."""
    done = device.run(["sh", f"{device.home}/current/camera.sh", *arguments])
    assert done.status == 0, done
    return done.out.decode()


def test_a_release_with_the_older_layout_of_scripts(device: LocalDevice, tmp_path: Path) -> None:
    """A device with the release of an older edgenet: it runs, is replaced, and is activated again."""
    old = write_old_release(Path(device.home))
    assert (status("local").release, status("local").bundle) == (old, BUNDLE)
    assert camera(device, "0") == f"the old camera {BUNDLE} 0\n"
    new = release(tmp_path, b"1")
    device.push(new.files, releases.prepare(device, new.identity))
    releases.commit(device, new.identity, "old")
    releases.mark_verified(device, new.identity)
    releases.activate(device, new.identity)
    releases.prune(device)
    assert (status("local").release, status("local").bundle) == (new.identity, new.bundle)
    assert "usage: " in camera(device, "--help")
    back = rollback("local")
    assert (back.release, back.previous) == (old, new.identity)
    assert camera(device, "0", "--serve", "8080") == f"the old camera {BUNDLE} 0 --serve 8080\n"
    assert rollback("local").release == new.identity


# A program that cannot import OpenCV, as in a phone's pack before the first deploy, and those that edgenet starts then.
WITHOUT_OPENCV = """
import runpy, sys
sys.modules["cv2"] = None
sys.path.insert(0, sys.argv[1])
name, *sys.argv = sys.argv[2:]
runpy.run_module(name, run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        ("measure_latency", "MODEL", "--runs", "5", "--min-seconds", "0", "--json"),
        ("edgenet_device", "program", "try-model", "MODEL"),
        ("edgenet_device", "program", "time-cold-start", "MODEL", "1"),
    ],
)
def test_what_a_phone_measures_with_runs_without_opencv(program: tuple[str, ...], tmp_path: Path) -> None:
    scripts = release_of_a_phone(tmp_path)
    words = [str(scripts / "m.tflite") if word == "MODEL" else word for word in program]
    words = words if program[0] == "edgenet_device" else [words[0], "program", *words[1:]]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENCV, scripts / SCRIPTS, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cv2" not in done.stdout


def release_of_a_phone(folder: Path) -> Path:
    """Return a folder with the files of a release for phones; its model is m.tflite."""
    (folder / "m.tflite").write_bytes(tiny_model())
    new = release_of(folder / "m.tflite", "key", phone=True)
    for name, content in new.files.items():
        place = folder / "release" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    return folder / "release"


def test_a_phone_gets_what_classifies_photos_and_nothing_for_cameras(tmp_path: Path) -> None:
    there = release_of_a_phone(tmp_path)
    assert {path.name for path in (there / SCRIPTS).glob("*.py")} == {"classify.py", "measure_latency.py"}
    assert not (there / "camera.sh").exists()
    assert releases.bundle_in((there / "SHA256SUMS").read_text()) == "m.tflite"
    files = sum(1 for path in there.rglob("*") if path.is_file())
    assert len(release_of(tmp_path / "m.tflite", "key").files) > 1.5 * files
    python = there / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    photo = sorted(calibration_photos().glob("*.jpg"))[0]
    command = ["sh", there / "classify.sh", photo, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["name"] == photo.name
