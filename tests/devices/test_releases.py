"""What somebody changed in a release on a device is never deleted, whatever is deployed after it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from edgenet.devices import releases
from edgenet.devices.local import LocalDevice
from edgenet.devices.releases import SetAside
from edgenet.errors import EdgenetError
from edgenet.workflows.deploy import deploy

FILES = {
    "model.tflite": b"network",
    "device_scripts/camera.py": b"print(1)",
    "device_scripts/two words.py": b"",
}


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDevice:
    """This machine with a home of its own; the shell scripts are those that run on a device."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return LocalDevice()


def place(device: LocalDevice, name: str, environment: str = "key") -> tuple[SetAside, ...]:
    """Place and activate a release; return what was set aside for it."""
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in FILES.items())
    device.push({**FILES, "SHA256SUMS": sums.encode()}, releases.prepare(device, name))
    found = releases.commit(device, name, environment)
    releases.mark_verified(device, name)
    releases.activate(device, name)
    return found + releases.prune(device)


def test_an_untouched_release_has_no_changes_and_makes_room(device: LocalDevice) -> None:
    for name in "abcdef":
        assert place(device, name) == ()
        python_writes = Path(
            device.home, "releases", name, "device_scripts/__pycache__/camera.cpython-311.pyc"
        )
        python_writes.parent.mkdir()
        python_writes.write_bytes(b"")
        assert releases.changed_files(device, name) == ()
    assert place(device, "f") == ()  # again
    assert sorted(path.name for path in Path(device.home, "releases").iterdir()) == ["d", "e", "f"]
    assert not Path(device.home, "set-aside").exists()


def test_a_release_with_somebodys_own_files_is_set_aside(device: LocalDevice) -> None:
    place(device, "a")
    mine = Path(device.home, "releases/a")
    (mine / "device_scripts/two words.py").write_text("changed")
    (mine / "device_scripts/my app.py").write_text("mine")
    (mine / "link").symlink_to("/dev/null")
    changed = ("device_scripts/my app.py", "device_scripts/two words.py", "link")
    assert tuple(sorted(releases.changed_files(device, "a"))) == changed
    assert [place(device, name) for name in "bc"] == [(), ()]
    (found,) = place(device, "d")
    assert found.folder == f"{device.home}/set-aside/a-1"
    assert tuple(sorted(found.files)) == changed
    assert (Path(found.folder) / "device_scripts/my app.py").read_text() == "mine"


def test_the_same_release_is_placed_anew_beside_the_changed_one(device: LocalDevice) -> None:
    for number in (1, 2):
        place(device, "a")
        script = Path(device.home, "releases/a/device_scripts/camera.py")
        script.write_text(f"changed {number}")
        (found,) = place(device, "a")
        assert found == SetAside(f"{device.home}/set-aside/a-{number}", ("device_scripts/camera.py",))
        assert (Path(found.folder) / "device_scripts/camera.py").read_text() == f"changed {number}"
        assert script.read_bytes() == FILES["device_scripts/camera.py"]


def test_a_changed_file_is_seen_on_a_device_of_any_language(
    device: LocalDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for a German sha256sum, since translations are rarely installed."""
    place(device, "a")
    german = tmp_path / "bin/sha256sum"
    german.parent.mkdir()
    real = shutil.which("sha256sum")
    german.write_text(
        f'#!/bin/sh\n[ "$LC_ALL" = C ] && exec {real} "$@"\n{real} "$@" | sed s/FAILED/FEHLSCHLAG/\n'
    )
    german.chmod(0o755)
    monkeypatch.setenv("PATH", f"{german.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("LC_ALL", raising=False)
    Path(device.home, "releases/a/model.tflite").write_text("mine")
    assert releases.changed_files(device, "a") == ("model.tflite",)


def test_a_release_whose_checksums_are_lost_is_not_deleted(device: LocalDevice) -> None:
    place(device, "a")
    Path(device.home, "releases/a/SHA256SUMS").unlink()
    (found,) = place(device, "a")
    assert sorted(found.files) == sorted(FILES)


def test_the_environment_of_what_was_set_aside_stays(device: LocalDevice) -> None:
    environments = Path(device.home, "environments")
    (environments / "with mine").mkdir(parents=True)
    place(device, "a", "with mine")
    Path(device.home, "releases/a/mine.py").write_text("mine")
    for name in "bcd":
        (environments / name).mkdir()
        place(device, name, name)
    assert sorted(path.name for path in environments.iterdir()) == ["b", "c", "d", "with mine"]


def test_a_bundle_that_is_missing_is_said_before_the_device_is_asked(tmp_path: Path) -> None:
    with pytest.raises(EdgenetError, match=r"there is no file .*none\.edgenet"):
        deploy(tmp_path / "none.edgenet", "ssh:nobody@nowhere.invalid")
