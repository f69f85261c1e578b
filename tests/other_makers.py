"""Libraries of other makers (`tests/makers.txt`) for scripts that write their networks and compute their scores."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.environments import MAKERS


def run_beside_makers(script: Path, *arguments: str | Path) -> str:
    """Run a script with our interpreter, beside timm, torchvision, Keras and OpenVINO; return what it prints."""
    if not MAKERS.is_dir():
        pytest.skip("no libraries of other makers; `.venv/bin/python -m benchmarks.environments` brings them")
    path = os.pathsep.join(filter(None, [str(MAKERS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, script, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "torch"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
