"""What the tests of the archives share: names, types, and environments of their own."""

from __future__ import annotations

import subprocess
import sysconfig
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME = "edgenet-0.1.0"
"""What the names of the archives begin with."""
Run = Callable[..., str]
"""Runs a command away from the repository, and returns what it printed."""


@dataclass(frozen=True)
class Built:
    """The two archives built from the repository, and the wheel built from the sdist."""

    sdist: Path
    wheel: Path
    wheel_from_sdist: Path


def make_environment(folder: Path) -> Path:
    """Make an environment of its own, and return its Python.

    Installing PyTorch and the others anew would take minutes. So a .pth file adds the running environment's packages
    to the path. Python reads no .pth files in a folder added so: an editable edgenet there stays out.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    python = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    lines = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(packages) / "dependencies.pth").write_text("\n".join(sorted(lines)) + "\n")
    return python
