"""The packages that the user's own code needs on a device: their wheels, downloaded on this machine.

The device needs neither a network nor pip. What pip has chosen stays in the cache, with the SHA-256 of every wheel, so
the same requirements give the same packages again. What edgenet itself has on the device (the runtime, numpy, OpenCV)
keeps its version, because the packages come first where the code looks for modules.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenet.devices.wheels import Requirements, differing_package, pip_download, pip_reason, platform_tags
from edgenet.errors import EdgenetError, one_line
from edgenet.files import UNREADABLE_ZIP, cache_folder, read_limited, sha256
from edgenet.progress import Progress

_MOST_BYTES = 1 << 20
_SUMS = "SHA256SUMS"
_OPENCV = frozenset({"opencv-python", "opencv-python-headless"})
_INDEX_OPTIONS = ("--index-url", "-i", "--extra-index-url", "--find-links", "-f")
_OPTIONS = (*_INDEX_OPTIONS, "--hash", "--require-hashes", "--only-binary", "--prefer-binary")


@dataclass(frozen=True)
class AppRequirements:
    """A requirements file of the user's own.

    Attributes:
        path: the file, for messages.
        text: what it holds.
    """

    path: Path
    text: str


def read_requirements(path: Path) -> AppRequirements:
    """Read and check a requirements file, which may hold names, versions and SHA-256 of packages.

    Raises:
        EdgenetError: it cannot be read, or a line asks for something else than a package of an index.
    """
    try:
        text = read_limited(path, _MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise EdgenetError(f"cannot read {path}: {error.strerror}", "give a requirements file") from None
    except UnicodeDecodeError:
        raise EdgenetError(f"{path} is no UTF-8 text", "give a requirements file") from None
    for number, line in _lines(text):
        option = line.startswith("-")
        known = option and re.split(r"[\s=]", line, maxsplit=1)[0] in _OPTIONS
        named = not option and re.match(r"[A-Za-z0-9]", line) and "://" not in line and " @" not in line
        if not (known or named) or (not option and re.search(r"\.(whl|zip|tar\.\w+)\b|/", line)):
            raise EdgenetError(
                f"{path}, line {number}: '{one_line(line, 60)}' is no name of a package",
                "give names and versions, such as flask==3.1.2; a module of your own belongs into the code's folder",
            )
    return AppRequirements(path, text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that says something, with its number; continued lines count as their first."""
    joined = text.replace("\\\r\n", " " * 3).replace("\\\n", " " * 2)
    for number, line in enumerate(joined.splitlines(), 1):
        said = re.sub(r"(^|\s)#.*", "", line).strip()
        if said:
            yield number, said


def app_wheels(wanted: AppRequirements, needed: Requirements, progress: Progress) -> list[Path]:
    """Return the wheels that an app's requirements give on a device, from the cache or downloaded.

    Args:
        wanted: the requirements.
        needed: what edgenet itself installs there; none of it is among the wheels.
        progress: reports that packages are downloaded.

    Raises:
        EdgenetError: pip finds no wheel for the device, the versions contradict those of edgenet, or the index cannot
            be reached.
    """
    if all(line.startswith("-") for _, line in _lines(wanted.text)):
        return []  # a file without a name takes all packages away
    fixed = _fixed_versions(needed)
    parts = [wanted.text, *sorted(fixed.values()), *platform_tags(needed)]
    name = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    folder = cache_folder(os.environ) / "wheels" / f"app-{name}"
    if not _is_whole(folder):
        progress("download packages", 0, None)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            _download(wanted, needed, fixed, Path(new, "all"))
            _keep(Path(new, "all"), Path(new, "kept"), {*fixed, *(_OPENCV if _has_opencv(needed) else ())})
            shutil.rmtree(folder, ignore_errors=True)  # a copy that was changed since
            os.rename(Path(new, "kept"), folder)
    return sorted(folder.glob("*.whl"))


def _fixed_versions(needed: Requirements) -> dict[str, str]:
    """Return the packages whose versions edgenet gives, as requirements, by their names."""
    fixed = {package.partition("==")[0]: package for package in needed.packages}
    if "numpy" not in fixed and needed.python.numpy is not None:
        fixed["numpy"] = f"numpy=={needed.python.numpy}"
    return fixed


def _has_opencv(needed: Requirements) -> bool:
    return needed.python.cv2 or any(package.startswith("opencv") for package in needed.packages)


def _download(wanted: AppRequirements, needed: Requirements, fixed: dict[str, str], folder: Path) -> None:
    folder.mkdir()
    file, constraints = folder / "requirements.txt", folder / "constraints.txt"
    file.write_text(wanted.text, encoding="utf-8")
    constraints.write_text("\n".join(fixed.values()) + "\n", encoding="utf-8")
    options = ["--only-binary=:all:", "--disable-pip-version-check", *platform_tags(needed)]
    files = ["--dest", str(folder), "--requirement", str(file), "--constraint", str(constraints)]
    done = pip_download([*options, *files], _PIP_FOR_THE_DEVICE, repr(_markers(needed)))
    if done.returncode:
        raise _failure(wanted, needed, done.stderr)


# pip has options for the device's wheels, and none for conditions such as python_version < "3.10", which it reads for
# its own Python. They are read here as on the device.
_PIP_FOR_THE_DEVICE = """
import ast, sys
from pip._vendor.packaging import markers
ours, theirs = markers.default_environment, ast.literal_eval(sys.argv.pop(1))
markers.default_environment = lambda: {**ours(), **theirs}
from pip._internal.cli.main import main
sys.exit(main())
"""


def _markers(needed: Requirements) -> dict[str, str]:
    """Return what a device has for the conditions of requirements (PEP 508)."""
    version = ".".join(map(str, needed.python.version))
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": needed.userland,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{version}.0",
        "python_version": version,
        "sys_platform": "linux",
    }


def _failure(wanted: AppRequirements, needed: Requirements, printed: str) -> EdgenetError:
    found = f"the packages of {wanted.path} cannot be had: {one_line(pip_reason(printed))}"
    if package := differing_package(printed):
        return EdgenetError(f"pip refused {package}: its SHA-256 is not in {wanted.path}", "check the file")
    if any(
        word in printed for word in ("NewConnectionError", "ConnectTimeout", "name resolution", "SSLError")
    ):
        return EdgenetError(
            f"this machine does not reach the package index for {wanted.path}", "connect it to the internet"
        )
    if "onflict" in printed:
        own = ", ".join(_fixed_versions(needed).values())
        return EdgenetError(found, f"leave the versions to edgenet that it has on the device ({own})")
    if "No matching distribution" in printed:
        return EdgenetError(
            found,
            "there is no wheel of it for this device; where apt has it (sudo apt install python3-NAME there), take it "
            "out of the file, because the code sees the system's packages",
        )
    return EdgenetError(found, "correct the file")


def _keep(downloaded: Path, folder: Path, own: set[str]) -> None:
    """Move the wheels that the device gets into a folder, and list their SHA-256 there."""
    folder.mkdir()
    for wheel in sorted(downloaded.glob("*.whl")):
        if re.sub(r"[-_.]+", "-", wheel.name.partition("-")[0]).lower() not in own:
            _check_unpackable(wheel)
            os.rename(wheel, folder / wheel.name)
    sums = [f"{sha256(wheel)}  {wheel.name}\n" for wheel in sorted(folder.glob("*.whl"))]
    (folder / _SUMS).write_text("".join(sums), encoding="utf-8")


def _check_unpackable(wheel: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = archive.namelist()
    except UNREADABLE_ZIP as error:
        raise EdgenetError(f"{wheel.name} is damaged ({error})", "run the same command again") from None
    if any(".data/" in name for name in names):
        raise EdgenetError(
            f"{wheel.name} has files for other places than Python's packages, which only pip on the device can install",
            "take it out of the requirements, and install it there with apt",
        )


def _is_whole(folder: Path) -> bool:
    """Return whether the cache holds the wheels, none of which was changed."""
    try:
        lines = read_limited(folder / _SUMS, _MOST_BYTES).decode(errors="replace").splitlines()
        found = [f"{sha256(wheel)}  {wheel.name}" for wheel in sorted(folder.glob("*.whl"))]
        return lines == found
    except (OSError, ValueError, EdgenetError):
        return False
