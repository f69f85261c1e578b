"""What `make setup` says when it cannot go on; each case stops before anything is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the script reads: it works in the checkout that it lies in, so the real one is safe."""
    (tmp_path / "tools").mkdir()
    shutil.copy2(ROOT / "tools" / "setup-environment", tmp_path / "tools")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, tmp_path)
    return tmp_path


def _setup(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, "FOLDER": ".venv"} | variables
    script = checkout / "tools" / "setup-environment"
    return subprocess.run([script], env=environment, capture_output=True, text=True, timeout=60)


def test_missing_python(checkout: Path) -> None:
    done = _setup(checkout, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "there is no 'no-such-python' here" in done.stderr


def test_old_python(checkout: Path) -> None:
    old = checkout / "old-python"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    done = _setup(checkout, PYTHON=str(old))
    assert done.returncode == 1
    assert "is Python 3.9; edgenet needs 3.10 to 3.14" in done.stderr


def test_python_without_venv(checkout: Path) -> None:
    (checkout / "ensurepip.py").write_text("raise ImportError('as on Debian')\n")
    done = _setup(checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 1
    assert f"sudo apt install python{sys.version_info.major}.{sys.version_info.minor}-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_never_clears_a_folder_that_is_no_environment(checkout: Path) -> None:
    (checkout / "photos").mkdir()
    (checkout / "photos" / "mine.jpg").write_bytes(b"precious")
    done = _setup(checkout, FOLDER="photos")
    assert done.returncode == 1
    assert "nothing was touched" in done.stderr
    assert (checkout / "photos" / "mine.jpg").read_bytes() == b"precious"
