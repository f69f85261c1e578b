"""OpenCV in a phone's pack that is there already; the phone is this machine, its shell is the real one."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from interrupted import Interrupted
from wheel_index import make_wheel

from edgenet.devices import phone_pack
from edgenet.devices.device import DeviceFacts
from edgenet.devices.local import LocalDevice
from edgenet.devices.phone_pack import OPENCV_BYTES, add_opencv, ensure_pack, opencv_wheels, pack_key
from edgenet.devices.wheels import OPENCV
from edgenet.errors import EdgenetError
from edgenet.progress import silent


class Phone(LocalDevice):
    """This machine, with the free space of a phone."""

    free_bytes = OPENCV_BYTES

    def facts(self) -> DeviceFacts:
        return replace(super().facts(), userland="aarch64", free_bytes=self.free_bytes)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone with a pack that lacks OpenCV; the wheel to install is a small one."""
    wheel = make_wheel(tmp_path, "opencv-python-headless", "4", "RUNS = True")
    monkeypatch.setattr(phone_pack, "opencv_wheels", lambda progress: [wheel])
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "it's $(here)"))
    found = Phone()
    python = pack_of(found) / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (pack_of(found) / "complete").write_text("pack\n")
    return found


def pack_of(phone: Phone) -> Path:
    return Path(phone.home, "environments", pack_key())


def test_a_pack_gets_only_what_it_lacks_and_once(phone: Phone) -> None:
    assert ensure_pack(phone, silent).made == ()
    assert not (pack_of(phone) / "opencv").exists()
    assert ensure_pack(phone, silent, opencv=True).made == (OPENCV,)
    module = pack_of(phone) / "opencv" / "opencv_python_headless.py"
    assert module.read_text() == "RUNS = True"
    assert sorted(os.listdir(pack_of(phone))) == ["bin", "complete", "opencv"]
    assert ensure_pack(phone, silent, opencv=True).made == ()


def test_interrupted_at_every_step(phone: Phone) -> None:
    def cut() -> None:
        raise EdgenetError("the connection is lost")

    for steps in range(4):
        with pytest.raises(EdgenetError, match="the connection is lost"):
            add_opencv(Interrupted(phone, steps, cut), pack_key(), silent)
        assert not (pack_of(phone) / "opencv").exists()
    half = pack_of(phone) / "opencv.new" / "half.py"
    half.parent.mkdir(exist_ok=True)
    half.write_text("RUNS =")
    assert add_opencv(phone, pack_key(), silent) == (OPENCV,)
    assert not list(pack_of(phone).rglob("half.py"))


def test_no_room(phone: Phone) -> None:
    phone.free_bytes = OPENCV_BYTES - 1_000_000
    with pytest.raises(EdgenetError, match="has 114 MB free but needs 115 MB; free some space on the device"):
        ensure_pack(phone, silent, opencv=True)
    (pack_of(phone) / "complete").unlink()
    with pytest.raises(EdgenetError, match="has 114 MB free but needs 210 MB; free some space on the device"):
        ensure_pack(phone, silent, opencv=True)
    with pytest.raises(EdgenetError, match="has 114 MB free but needs 130 MB; free some space on the device"):
        ensure_pack(phone, silent)


def test_a_wheel_that_changed_on_its_way_is_not_unpacked(
    phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = phone.push

    def changing(files: dict[str, Path], folder: str, *more: object) -> None:
        push({name: path.read_bytes() + b"x" for name, path in files.items()}, folder)

    monkeypatch.setattr(phone, "push", changing)
    with pytest.raises(EdgenetError, match="has another SHA-256 than on the machine that it came from"):
        add_opencv(phone, pack_key(), silent)
    assert not (pack_of(phone) / "opencv").exists()


def test_the_wheel_is_the_one_of_other_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(phone_pack, "wheels_for", lambda needed, progress: asked.append(needed) or [])
    opencv_wheels(silent)
    (needed,) = asked
    assert (needed.packages, needed.userland, needed.python.version) == ((OPENCV,), "aarch64", (3, 11))
