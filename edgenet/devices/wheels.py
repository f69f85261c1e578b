"""The wheels that a device installs, each known by its SHA-256, so that no index can slip in another file.

`packages.sha256.txt` lists the checksums of all files of every version in `requirements`; `make lock` writes it. pip
compares them where it downloads, on the device or here, and the device compares those of the wheels brought to it. They
are PyPI's. piwheels, which a Raspberry Pi's pip asks too, builds other wheels of the same versions: pip leaves them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock

from edgenet.devices.requirements import Requirements
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, sha256
from edgenet.progress import Progress

PIP_OPTIONS = ("--require-hashes", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check")
"""pip's options wherever it gets the packages of a device.

--no-deps: a newer numpy would break the system's picamera2, which was built for the system's numpy.
"""
_LIST = Path(__file__).with_name("packages.sha256.txt")


def pip_requirements(packages: Sequence[str]) -> str:
    """Return pip's requirements file for these packages, with the SHA-256 of every file of each that is accepted.

    Args:
        packages: some of `DEVICE_PACKAGES`, such as "numpy==2.2.6".
    """
    known = _known_files()
    lines = (" ".join([package, *(f"--hash=sha256:{one}" for one in known[package])]) for package in packages)
    return "\n".join(lines) + "\n"


@cache
def _known_files() -> dict[str, tuple[str, ...]]:
    """Return the SHA-256 of the files of each package, by "NAME==VERSION"."""
    blocks = re.split(r"^(?=\w)", _LIST.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {block.split()[0]: tuple(re.findall("--hash=sha256:([0-9a-f]{64})", block)) for block in blocks}


_NO_MATCH = "DO NOT MATCH THE HASHES"


def differing_package(printed: str) -> str | None:
    """Return the package that pip has refused for its SHA-256, or None if pip has failed for another reason.

    Args:
        printed: what pip has printed.
    """
    _, refused, rest = printed.partition(_NO_MATCH)
    found = re.search(r"^\s+(\S+==\S+|\S+) (?:from|\()", rest, re.MULTILINE)
    return (found[1] if found else "a package") if refused else None


def not_the_locked_file(package: str, where: str) -> EdgenetError:
    """Return the error for a package with another SHA-256 than the list has.

    Args:
        package: its name.
        where: what has refused it, such as "pip on pi".
    """
    return EdgenetError(
        f"{where} refused {package}: its SHA-256 is none of those that edgenet knows for this version",
        "check which package index is used; somebody may have changed the file",
    )


# When several devices are changed at once, only the first one downloads; the others use the cache.
_ONE_AT_A_TIME = Lock()


def wheels_for(needed: Requirements, progress: Progress) -> list[Path]:
    """Return the wheels that a device needs, from the cache or downloaded.

    Raises:
        EdgenetError: pip is missing, cannot reach its index, finds no wheel, or one with another SHA-256.
    """
    name = hashlib.sha256("\n".join([*needed.packages, *platform_tags(needed)]).encode()).hexdigest()[:16]
    folder = cache_folder(os.environ) / "wheels" / name
    with _ONE_AT_A_TIME:
        if not _is_right(folder, needed.packages):
            progress("download packages", 0, None)
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
                _download(needed, Path(new))
                shutil.copytree(new, f"{new}.whole", ignore=shutil.ignore_patterns("*.txt"))
                shutil.rmtree(folder, ignore_errors=True)  # a copy that was changed since
                try:
                    os.rename(f"{new}.whole", folder)
                except OSError:  # another process was as quick
                    shutil.rmtree(f"{new}.whole")
    return sorted(folder.glob("*.whl"))


def _is_right(folder: Path, packages: Sequence[str]) -> bool:
    """Return whether the cache has a wheel for each package, all with a known SHA-256."""
    known = {one for package in packages for one in _known_files()[package]}
    found = [sha256(wheel) for wheel in folder.glob("*.whl")]
    return len(found) == len(packages) and known.issuperset(found)


def _download(needed: Requirements, folder: Path) -> None:
    wanted = folder / "packages.txt"
    wanted.write_text(pip_requirements(needed.packages), encoding="utf-8")
    options = [*PIP_OPTIONS, *platform_tags(needed), "--dest", str(folder), "--requirement", str(wanted)]
    done = pip_download(options)
    if done.returncode:
        if package := differing_package(done.stderr):
            raise not_the_locked_file(package, "pip")
        raise EdgenetError(
            f"cannot download {' '.join(needed.packages)}: {pip_reason(done.stderr)}",
            "check that this machine has a network connection and pip",
        )


def pip_download(
    options: Sequence[str], program: str | None = None, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run this machine's `pip download`.

    Args:
        options: its options.
        program: a Python program that calls pip; None for pip itself.
        arguments: that program's own arguments, before pip's.
    """
    pip = ["-m", "pip"] if program is None else ["-c", program, *arguments]
    return subprocess.run(
        [sys.executable, *pip, "download", "--quiet", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def pip_reason(printed: str) -> str:
    """Return the last error among what pip has printed."""
    lines = [line for line in printed.splitlines() if line.startswith("ERROR")]
    return lines[-1] if lines else printed.strip()


# PEP 600's tags start at manylinux_2_17, for glibc 2.17; manylinux2014 is another name for it.
_OLDEST_GLIBC = 17


def platform_tags(needed: Requirements) -> list[str]:
    """Return pip's options that select wheels for the device: PEP 600 tags up to its glibc version."""
    newest = int(needed.python.glibc.split(".")[1])
    platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(_OLDEST_GLIBC, newest + 1))]
    chosen = [part for name in platforms for part in ("--platform", f"{name}_{needed.userland}")]
    version = ".".join(map(str, needed.python.version))
    return ["--implementation", "cp", "--python-version", version, *chosen]
