"""A tiny network with the layout that every client takes, and scripts copied to a folder of another name."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from model_files import ROOT, SIZE, Run, build_bundle, with_labels
from tiny_model import tiny_model


@pytest.fixture
def tiny_tflite(tmp_path: Path) -> Path:
    """uint8 RGB [1,32,32,3] in, float32 [1,3] out, labels red, green, blue."""
    path = tmp_path / "tiny.tflite"
    path.write_bytes(with_labels(tiny_model(size=SIZE)))
    return path


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.edgenet"
    path.write_bytes(build_bundle(with_labels(tiny_model(size=SIZE))))
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """30 frames of 96x64: ten red, ten green, ten blue."""
    path = tmp_path / "colours.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    assert writer.isOpened()
    for channel in (2, 1, 0):
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[..., channel] = 255
        for _ in range(10):
            writer.write(frame)
    writer.release()
    return path


@pytest.fixture(scope="session")
def copied_scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts alone, in a folder whose name is no Python identifier."""
    folder = tmp_path_factory.mktemp("elsewhere") / "on-the-pi v1.0"
    shutil.copytree(ROOT / "device_scripts", folder)
    compileall.compile_dir(
        folder, quiet=1
    )  # Python may not write byte code here: each start would compile all anew
    return folder


@pytest.fixture
def run_copied(copied_scripts: Path, tmp_path: Path) -> Run:
    """Run a copied script as a plain file, from another folder, with nothing of the project on Python's path.

    A name with dots is a module of the copied package, which is started as the scripts and the host start it.
    """

    def run(script: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
        is_file = script.endswith(".py")
        # Not -I: with it, Python would take the package from the environment instead of from the copied folder.
        start = ["-E", "-s", str(copied_scripts / script)] if is_file else ["-s", "-m", script]
        command = [sys.executable, *start, *map(str, arguments)]
        path = None if is_file else {**os.environ, "PYTHONPATH": str(copied_scripts)}
        return subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False, env=path
        )

    return run
