"""The packages that a device needs, and their wheels, each known by its SHA-256, so that no index can swap a file.

The architecture and the Python of a device decide on its packages: a LiteRT runtime, numpy and OpenCV.

`packages.sha256.txt` lists the checksums of all files of every version in DEVICE_PACKAGES; `make lock` writes it. pip
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
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from edgenet.devices.device import DeviceFacts
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, sha256
from edgenet.progress import Progress


@dataclass(frozen=True)
class Python:
    """The device's python3.

    Attributes:
        version: such as (3, 11).
        numpy: version of the numpy that it can import; None if there is none.
        cv2: whether it can import OpenCV.
        venv: whether it can make virtual environments with pip.
        glibc: version of its C library, such as "2.36".
    """

    version: tuple[int, int]
    numpy: str | None
    cv2: bool
    venv: bool
    glibc: str


@dataclass(frozen=True)
class Requirements:
    """The packages to install.

    Attributes:
        packages: pip requirements with exact versions; they are installed without their dependencies.
        userland: the architecture to install for.
        python: the Python to install for.
        notes: messages for the user.
    """

    packages: tuple[str, ...]
    userland: str
    python: Python
    notes: tuple[str, ...] = ()


_OLDEST = (3, 9)
_NEWEST = (3, 14)
_TFLITE_NEWEST = (3, 11)
_OPENCV_APT = "sudo apt install python3-opencv"
# The last OpenCV whose wheels work with numpy 1.24, which picamera2 of Raspberry Pi OS "bookworm" needs.
OPENCV = "opencv-python-headless==4.11.0.86"
_LITERT = "ai-edge-litert==2.3.0"
_LITERT_3_9 = "ai-edge-litert==2.1.0"  # the last one for Python 3.9
_TFLITE = "tflite-runtime==2.14.0"
_NUMPY = "numpy==2.2.6"
_NUMPY_3_14 = "numpy==2.4.6"  # the one above has no wheels for Python 3.14
_NUMPY_BELOW_2 = "numpy==1.26.4"
DEVICE_PACKAGES = {
    _LITERT: "3.10",
    _LITERT_3_9: "3.9",
    _TFLITE: "3.9",
    _NUMPY: "3.10",
    _NUMPY_3_14: "3.14",
    _NUMPY_BELOW_2: "3.9",
    OPENCV: "3.9",
}
"""Every package that a device may need, with the oldest Python that is given it; `make lock` lists their SHA-256."""


def requirements(facts: DeviceFacts, python: Python) -> Requirements:
    """Choose the packages: ai-edge-litert, or tflite-runtime with numpy below 2 if there is no such wheel.

    Raises:
        EdgenetError: no runtime exists for this architecture and Python, or 32-bit Arm lacks its numpy.
    """
    runtime = _runtime(facts.userland, python.version)
    packages = [runtime, *_numpy(runtime, facts.userland, python)]
    notes = []
    if not python.cv2:
        if facts.userland == "armv7l":
            notes.append(f"the device has no OpenCV; for cameras and photos, run {_OPENCV_APT} there")
        else:
            packages.append(OPENCV)
    return Requirements(tuple(packages), facts.userland, python, tuple(notes))


def _runtime(userland: str, python: tuple[int, int]) -> str:
    version = ".".join(map(str, python))
    if not _OLDEST <= python <= _NEWEST:
        raise EdgenetError(f"the device has Python {version}", "edgenet needs Python 3.9 to 3.14")
    if userland in ("aarch64", "x86_64"):
        return _LITERT if python > _OLDEST else _LITERT_3_9
    if userland == "armv7l":
        if python <= _TFLITE_NEWEST:
            return _TFLITE
        raise EdgenetError(
            f"no LiteRT runtime exists for 32-bit Arm with Python {version}",
            "install the 64-bit Raspberry Pi OS (or 32-bit bookworm, which has Python 3.11)",
        )
    raise EdgenetError(
        f"no LiteRT runtime exists for {userland}",
        "edgenet needs a 64-bit Arm, 32-bit Armv7 or x86-64 system",
    )


def _numpy(runtime: str, userland: str, python: Python) -> list[str]:
    """Return the numpy to install; an empty list if the system's numpy is usable."""
    below_2 = runtime == _TFLITE
    if python.numpy is not None and not (below_2 and int(python.numpy.split(".")[0]) >= 2):
        return []
    if userland == "armv7l":
        raise EdgenetError(
            "the device has no numpy below 2, and there is no wheel of one for 32-bit Arm",
            "run sudo apt install python3-numpy on the device",
        )
    if below_2 or python.version == _OLDEST:
        return [_NUMPY_BELOW_2]
    return [_NUMPY if python.version < _NEWEST else _NUMPY_3_14]


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
