"""The examples of programs of one's own run on a film: with gpiozero's stand-in pins, a real broker, and real Flask."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import pytest
from brokers import Listener, RealBroker, require_mosquitto, wait_for
from model_files import ROOT
from virtual_devices import free_port

from edgenet.assets import exported_files
from edgenet.devices.app_packages import app_wheels, read_requirements
from edgenet.devices.apps import read_app
from edgenet.devices.wheels import Python, Requirements
from edgenet.errors import EdgenetError
from edgenet.progress import silent

EXAMPLES = ROOT / "device_scripts" / "examples"


def command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]


def environment(bundle: Path, *packages: Path, **more: str) -> dict[str, str]:
    """The variables that run.sh sets on a device."""
    path = os.pathsep.join(map(str, (*packages, ROOT / "device_scripts")))
    return {**os.environ, "EDGENET_BUNDLE": str(bundle), "PYTHONPATH": path, **more}


def run(bundle: Path, name: str, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(name, *arguments),
        env=environment(bundle, **more),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_each_can_be_deployed_and_is_handed_on(path: Path) -> None:
    assert read_app(path).name == path.stem
    assert exported_files()[f"examples/{path.name}"] == path
    about = ast.get_docstring(ast.parse(path.read_text())) or ""
    assert f"--with device_scripts/examples/{path.name}" in about
    assert f"--run {path.name}" in about
    if (packages := path.with_suffix(".txt")).exists():
        read_requirements(packages)
        assert f"--requirements device_scripts/examples/{packages.name}" in about


def test_a_loop_of_ones_own(tiny_bundle: Path, video: Path) -> None:
    done = run(tiny_bundle, "own_loop", video)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == ["red", "green", "blue"]
    none = run(tiny_bundle, "own_loop", "nowhere.mp4")
    assert none.returncode == 1
    assert none.stderr.startswith("error: ")
    assert len(none.stderr.splitlines()) == 1


def test_a_relay_is_on_while_the_label_is_seen(tiny_bundle: Path, video: Path) -> None:
    pytest.importorskip("gpiozero", reason="gpiozero is not installed")
    done = run(tiny_bundle, "gpio_relay", "green", "17", video, GPIOZERO_PIN_FACTORY="mock")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(": ")[2] for line in done.stdout.splitlines()] == ["pin 17 on", "pin 17 off"]
    wrong = run(tiny_bundle, "gpio_relay", "gren", "17", video, GPIOZERO_PIN_FACTORY="mock")
    assert (wrong.returncode, wrong.stderr) == (1, "error: the model has no label 'gren'\n")
    wrong = run(tiny_bundle, "gpio_relay", "green", "none", video, GPIOZERO_PIN_FACTORY="mock")
    assert (wrong.returncode, wrong.stderr) == (1, "error: none is not a valid pin name\n")


def test_labels_on_a_broker(tiny_bundle: Path, video: Path, tmp_path: Path) -> None:
    broker = RealBroker(require_mosquitto(), tmp_path)
    broker.start()
    try:
        listener = Listener(broker.port)
        done = run(tiny_bundle, "mqtt_labels", f"127.0.0.1:{broker.port}", "home/garden", video)
        assert (done.returncode, done.stderr) == (0, "")
        wait_for(lambda: len(listener.payloads("home/garden")) == 4)
        *told, last = [json.loads(payload) for payload in listener.payloads("home/garden")]
        assert last == {"online": False}
        assert [(one["label"], one["online"]) for one in told] == [
            ("red", True),
            ("green", True),
            ("blue", True),
        ]
        listener.stop()
    finally:
        broker.stop()


@pytest.mark.slow
def test_a_page_of_ones_own(tiny_bundle: Path, tmp_path: Path) -> None:
    """With the wheels that deploy would bring; it is left out where no package index can be reached."""
    machine, python = os.uname().machine, Python(sys.version_info[:2], "1.26.4", True, True, "2.36")
    try:
        wheels = app_wheels(
            read_requirements(EXAMPLES / "flask_page.txt"), Requirements((), machine, python), silent
        )
    except EdgenetError as error:
        pytest.skip(f"Flask cannot be had here: {error}")
    packages = tmp_path / "packages"
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(packages)
    port, photo = free_port(), ROOT / "edgenet" / "assets" / "clip.mp4"
    with subprocess.Popen(
        command("flask_page", f"127.0.0.1:{port}", photo),
        env=environment(tiny_bundle, packages),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as page:
        try:
            seen: dict[str, object] = {}

            def answers() -> bool:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/now") as answer:
                        seen.update(json.load(answer))
                except OSError:
                    return False
                return seen["label"] is not None

            wait_for(answers)
            assert seen["label"] in ("red", "green", "blue")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/picture.jpg") as answer:
                assert answer.read(3) == b"\xff\xd8\xff"
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                assert b"picture.jpg" in answer.read()
        finally:
            page.terminate()
