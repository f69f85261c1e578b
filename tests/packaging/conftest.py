"""The wheel and the sdist, built from a copy of the repository, and environments away from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from packaging_parts import NAME, Built, Run, make_environment
from small_network import save_small_checkpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "calibration_data", "device_scripts", "docs", "edgenet", "tests", "tools")
FILES = ("LICENSE", "MANIFEST.in", "Makefile", "NOTICE", "README.md", "constraints.txt", "pyproject.toml")


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository as a clone has it: building writes into the folder that it builds from."""
    return copy_repository(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def used_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another copy, for programs that run there, and a build, which leave files that are none of the repository's."""
    return copy_repository(tmp_path_factory.mktemp("used-checkout"))


def copy_repository(folder: Path) -> Path:
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in FILES:
        shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def built(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The archives, built by calling setuptools as pip does, but in this environment: no network is needed."""
    out = tmp_path_factory.mktemp("built")
    build("sdist", checkout, out)
    sdist = out / f"{NAME}.tar.gz"
    with tarfile.open(sdist) as archive:
        archive.extractall(out / "unpacked", filter="data")
    build("wheel", checkout, out)
    build("wheel", out / "unpacked" / NAME, out / "again")
    wheel = f"{NAME}-py3-none-any.whl"
    return Built(sdist, out / wheel, out / "again" / wheel)


@pytest.fixture(scope="session")
def wheel(used_checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone, for tests that only install it."""
    out = tmp_path_factory.mktemp("wheel")
    build("wheel", used_checkout, out)
    return out / f"{NAME}-py3-none-any.whl"


def build(kind: str, source: Path, out: Path) -> None:
    """Build an archive with the backend that pyproject.toml names (PEP 517)."""
    call = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    out.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr


@pytest.fixture(scope="session")
def device_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment without edgenet."""
    return make_environment(tmp_path_factory.mktemp("device") / "environment")


@pytest.fixture(scope="session")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, which pip installed."""
    python = make_environment(tmp_path_factory.mktemp("user") / "environment")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="session")
def run_in() -> Run:
    """Run a command in the folder `cwd`, check that it succeeds, and return what it printed."""

    def in_folder(*command: object, cwd: Path) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment["OMP_NUM_THREADS"] = "1"
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return in_folder


@pytest.fixture
def run(run_in: Run, tmp_path: Path) -> Run:
    """Run a command away from the repository, in the test's own folder unless `cwd` is given, as `run_in` does."""

    def in_folder(*command: object, cwd: Path = tmp_path) -> str:
        return run_in(*command, cwd=cwd)

    return in_folder


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder with folders and files of the names that could be imported by mistake; each import of one fails."""
    folder = tmp_path / "crowded"
    for name in ("device_scripts", "calibration_data", "edgenet_device", "benchmarks", "tests"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('imported the folder {name}')\n")
    (folder / "typer.py").write_text("raise SystemExit('imported the file typer.py')\n")
    (folder / "edgenet_device_x").mkdir()
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MobileNetV1 0.25 at 64 pixels with random weights and 5 classes."""
    return save_small_checkpoint(tmp_path_factory.mktemp("network") / "small.safetensors")
