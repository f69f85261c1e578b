"""Where Windows lacks what Linux has, edgenet does without. Nobody has run it on Windows: these tests only pretend."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edgenet_device.errors import EdgenetError as DeviceError
from edgenet_device.events.command import CommandSink
from edgenet_device.events.disk_queue import DiskQueue
from tiny_model import tiny_model

from edgenet.assets import clip
from edgenet.devices.targets import open_device
from edgenet.errors import EdgenetError

ROOT = Path(__file__).resolve().parents[1]
IMPORT_ALL = """
import importlib, pkgutil, sys
import edgenet, edgenet_device
for package in (edgenet, edgenet_device):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(len([name for name in sys.modules if name.startswith("edgenet")]))
"""


@pytest.fixture
def windows(tmp_path: Path) -> dict[str, str]:
    """The environment of a program that believes to run on Windows."""
    folder = tmp_path / "pretended"
    folder.mkdir()
    shutil.copy(ROOT / "tests" / "pretended_windows.py", folder / "sitecustomize.py")
    places = (folder, ROOT, ROOT / "device_scripts")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "EDGENET_TRACEBACK": "1"}


def ran(command: list[str | Path], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_pretence_works(windows: dict[str, str]) -> None:
    assert ran(
        ["-c", "import os, signal; print(hasattr(os, 'killpg'), hasattr(signal, 'SIGKILL'))"], windows
    ) == ("False False\n")


@pytest.mark.slow
def test_every_module_can_be_imported(windows: dict[str, str]) -> None:
    assert int(ran(["-c", IMPORT_ALL], windows)) > 200


def test_a_camera_classifies_and_stores_events(windows: dict[str, str], tmp_path: Path) -> None:
    model = tmp_path / "tiny.tflite"
    model.write_bytes(tiny_model())
    camera = ROOT / "device_scripts" / "camera.py"
    options = [
        "--frames",
        "3",
        "--json",
        "--webhook",
        "http://127.0.0.1:9/",
        "--queue",
        str(tmp_path / "queue"),
    ]
    assert '"type": "frame"' in ran([camera, model, clip(), *options], windows)


def test_latency_is_measured(windows: dict[str, str], tmp_path: Path) -> None:
    model, report = tmp_path / "tiny.tflite", tmp_path / "report.json"
    model.write_bytes(tiny_model())
    script = ROOT / "device_scripts" / "measure_latency.py"
    ran([script, model, "--runs", "10", "--min-seconds", "0", "--out", str(report)], windows)
    assert '"p50_ms"' in report.read_text()


def test_a_queue_works_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it raises ImportError
    DiskQueue(tmp_path / "queue", 1 << 20)


def test_a_command_is_refused_where_it_could_not_be_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "killpg")
    with pytest.raises(DeviceError, match="--exec needs a Unix system"):
        CommandSink([], "echo x", 1)


def test_ssh_from_windows_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgenet.devices.ssh_connection.sys.platform", "win32")
    refused = pytest.raises(EdgenetError, match=r"ssh need a Unix system.*run edgenet in WSL")
    with refused, open_device("ssh:pi@127.0.0.1"):
        pass
