"""After a rollback to a release that knows fewer options, the service starts with those that the release knows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from edgenet.devices import releases
from edgenet.devices.local import LocalDevice
from edgenet.devices.service import install_service
from edgenet.devices.service_options import read_options
from edgenet.devices.unit import Service
from edgenet.workflows.configure import configure
from edgenet.workflows.deploy import rollback

OLDER = """import argparse
def camera_parser():
    shape = argparse.ArgumentParser()
    for name in OPTIONS:
        shape.add_argument(name)
    return shape
"""


def place(device: LocalDevice, name: str, scripts: dict[str, str]) -> None:
    """Place a release with these files of the package edgenet_device, and activate it."""
    device.push(
        {
            "SHA256SUMS": b"",
            **{f"device_scripts/edgenet_device/{path}": text.encode() for path, text in scripts.items()},
        },
        releases.prepare(device, name),
    )
    sums = Path(device.home, f"incoming-{name}", "SHA256SUMS")
    sums.write_text("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  model.tflite\n")
    sums.with_name("model.tflite").touch()
    releases.commit(device, name, name)
    python = Path(device.home, "environments", name, "bin", "python")
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    releases.mark_verified(device, name)
    releases.activate(device, name)


@pytest.mark.parametrize(
    ("known", "kept", "left_out"),
    [
        (["--config", "--threshold", "--on-label", "--exec"], ["--threshold=0.6"], "--rotate, --log"),
        (["--threshold"], [], "--threshold, --rotate, --log"),
        (None, [], "--threshold, --rotate, --log"),
    ],
)
def test_the_service_runs_without_what_an_older_release_does_not_know(
    notes: Path, known: list[str] | None, kept: list[str], left_out: str
) -> None:
    device = LocalDevice()
    parser = {
        "__init__.py": "",
        "live/__init__.py": "",
        "live/command_line.py": f"OPTIONS = {known}\n{OLDER}",
    }
    place(device, "older", {"__init__.py": ""} if known is None else parser)
    every = ["--config", "--threshold", "--rotate", "--log", "--smooth"]
    place(device, "newer", {**parser, "live/command_line.py": f"OPTIONS = {every}\n{OLDER}"})
    words = ["--threshold=0.6", "--rotate=180", "--log=a.csv"]
    install_service(device, Service("csi", options=read_options(words)))
    settings = Path(device.home, "service/settings.json")
    unit = Path(device.home).parents[1] / "xdg_config_home/systemd/user/edgenet-camera.service"

    back = rollback("local")
    assert (back.release, back.service) == ("older", "restarted")
    assert any(
        f"the release older does not know {left_out}: the service is without" in note for note in back.notes
    )
    assert json.loads(settings.read_text())["arguments"] == kept
    assert ("--config" in unit.read_text()) is bool(kept)
    forth = rollback("local")
    assert (forth.release, forth.notes) == ("newer", ())
    assert json.loads(settings.read_text())["arguments"] == words
    assert json.loads(settings.read_text())["wanted"] == []
    rollback("local")
    changed = configure("local", options=["--smooth", "1", "--threshold", "0.5"])
    assert changed.options == (("--threshold=0.5",) if kept else ())
    assert any("--smooth" in note for note in changed.notes)
    assert rollback("local").notes == ()
    assert configure("local").options == ("--smooth=1", "--threshold=0.5")


def test_a_stopped_service_is_not_started_by_a_rollback(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = LocalDevice()
    for name in ("older", "newer"):
        place(device, name, {"__init__.py": ""})
    install_service(device, Service("csi", options=read_options(["--threshold", "0.6"])))
    systemctl = tmp_path / "bin" / "systemctl"
    systemctl.write_text(systemctl.read_text().replace("echo active", "echo inactive"))
    began = len(notes.read_text().splitlines())
    assert rollback("local").service is None
    assert not [line for line in notes.read_text().splitlines()[began:] if "restart" in line]
