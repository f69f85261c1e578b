"""The Python environment of a device: the LiteRT runtime, beside the system's own picamera2 and numpy.

    HOME/environments/KEY/            a virtual environment; KEY is the hash of its contents
    HOME/environments/KEY/complete    written last; an environment without this file is made again

The packages depend on the device's architecture and its Python. The device's own pip installs them, or this
machine downloads their wheels and copies them. A phone has no Python, so its environment is the pack, which
includes one (see `phone_pack`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.foreign_text import read_json

from edgenet.devices.device import Device, DeviceFacts, ProgramResult
from edgenet.devices.shell import require_success, script
from edgenet.errors import EdgenetError, one_line
from edgenet.files import cache_folder
from edgenet.progress import Progress

NEEDED_BYTES = 200_000_000
"""Peak use of disk space, while both the wheels and their unpacked contents are there."""
PACK = "pack"
"""The text in `complete` for an environment that includes its own Python."""


@dataclass(frozen=True)
class Environment:
    """An environment that is ready on a device.

    Attributes:
        key: its folder name in `environments`.
        made: packages installed just now; empty if the environment was already there.
        notes: messages for the user.
    """

    key: str
    made: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ensure_virtual_environment(device: Device, offline: bool, progress: Progress) -> Environment:
    """Make the virtual environment that a device with Python needs, unless it is already there.

    Args:
        device: the device.
        offline: download the packages on this machine and copy them to the device.
        progress: reports the number of packages.

    Raises:
        EdgenetError: the device has no usable Python or too little space, no runtime exists for it, or a step
            failed.
    """
    facts = device.facts()
    python = _python_of(device, facts)
    needed = requirements(facts, python)
    key = _key(needed, facts)
    folder = f"{device.home}/environments/{key}"
    if key in usable_environments(device):
        return Environment(key, (), needed.notes)
    if not (python.venv or offline):
        raise EdgenetError(
            f"{device.name} cannot make virtual environments with pip",
            "run sudo apt install python3-venv on the device, or use --offline, which needs no pip there",
        )
    check_room(device, facts)
    _make(device, folder, needed, offline, progress)
    return Environment(key, needed.packages, needed.notes)


_USABLE = """
cd "$1/environments" 2>/dev/null || exit 0
python=$(readlink -f "$(command -v python3)")
for key in *; do
    [ -x "$key/bin/python" ] || continue
    case $(cat "$key/complete" 2>/dev/null) in pack | "${python:-none}") echo "$key" ;; esac
done
exit 0
"""


def usable_environments(device: Device) -> tuple[str, ...]:
    """Return the keys of all complete environments that match the device's current Python, and of packs."""
    return tuple(device.run(script(_USABLE, device.home)).out.decode().split())


# Prints the other fields of `Python` as JSON.
_ASK_PYTHON = """
import json, platform
from importlib import metadata, util
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
print(json.dumps({"numpy": version("numpy"), "cv2": util.find_spec("cv2") is not None,
    "venv": util.find_spec("ensurepip") is not None, "glibc": platform.libc_ver()[1]}))
"""


def _python_of(device: Device, facts: DeviceFacts) -> Python:
    done = device.run(["python3", "-c", _ASK_PYTHON])
    if facts.python is None or done.status:
        raise EdgenetError(
            f"{device.name} has no working python3", "run sudo apt install python3 python3-venv on the device"
        )
    try:
        return Python(facts.python[:2], **read_json(done.out))
    except (ValueError, TypeError) as error:
        raise EdgenetError(
            f"python3 on {device.name} answers with something else than JSON ({one_line(str(error))})",
            "check its python3",
        ) from None


def _key(needed: Requirements, facts: DeviceFacts) -> str:
    assert facts.python is not None
    parts = [facts.userland, *map(str, facts.python[:2]), *needed.packages]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def check_room(device: Device, facts: DeviceFacts) -> None:
    """Check that a device has space for an environment.

    Raises:
        EdgenetError: it has not.
    """
    if facts.free_bytes is not None and facts.free_bytes < NEEDED_BYTES:
        raise EdgenetError(
            f"{device.name} has {facts.free_bytes / 1e6:.0f} MB free but needs {NEEDED_BYTES / 1e6:.0f} MB",
            "free some space on the device",
        )


_CLEAR = 'rm -rf "$1"; mkdir -p "${1%/*}"'
# `complete` holds the path of python3 that _USABLE compares with; the environment may link to a different
# program, because python3 may be a launcher.
_FINISH = """
cd "$1" || exit 1
rm -rf wheels lib/python*/site-packages/ai_edge_litert/libLiteRtWebGpuAccelerator.so
sync && readlink -f "$(command -v python3)" >complete && sync
"""


def _make(device: Device, folder: str, needed: Requirements, offline: bool, progress: Progress) -> None:
    wheels = wheels_for(needed, progress) if offline else []
    progress("make the environment", 0, None)
    # A virtual environment stores its own absolute path, so it must be made in its final folder; the file
    # `complete` marks it as finished.
    require_success(device, "prepare the environment", device.run(script(_CLEAR, folder)))
    pip = ["--without-pip"] if offline else []
    make = ["python3", "-m", "venv", "--system-site-packages", *pip, folder]
    require_success(device, "make a virtual environment", device.run(make))
    if offline:
        device.push({wheel.name: wheel for wheel in wheels}, f"{folder}/wheels", progress)
        unpack_wheels(device, folder, "", wheels, progress)
    else:
        _install(device, folder, needed.packages, progress)
    require_success(device, "finish the environment", device.run(script(_FINISH, folder)))


# A wheel is a zip file whose files have their installed paths (PEP 427), so unpacking it needs no pip.
# The WebGPU library is left out: nothing here uses it, and it takes 17 MB.
_UNPACK = """
import sys, sysconfig, zipfile
for name in sys.argv[2:]:
    with zipfile.ZipFile(name) as wheel:
        files = [file for file in wheel.namelist() if not file.endswith("/libLiteRtWebGpuAccelerator.so")]
        if any(".data/" in file for file in files):
            sys.exit(name + " has a .data folder, which only pip can install")
        wheel.extractall(sys.argv[1] or sysconfig.get_path("purelib"), files)
    print(name, flush=True)
"""


def unpack_wheels(
    device: Device, folder: str, packages: str, wheels: Sequence[Path], progress: Progress
) -> None:
    """Unpack the wheels in the environment's `wheels` folder with the environment's own Python.

    Args:
        device: the device.
        folder: the environment's folder.
        packages: absolute path of the target folder; "" for the environment's own site-packages.
        wheels: the wheels' files on this machine; only their names are used.
        progress: reports the number of wheels unpacked.

    Raises:
        EdgenetError: the wheels cannot be unpacked.
    """
    names = [f"{folder}/wheels/{wheel.name}" for wheel in wheels]
    done = _run_with_progress(device, [f"{folder}/bin/python", "-c", _UNPACK, packages, *names], progress)
    require_success(device, "unpack the packages", done)


def _install(device: Device, folder: str, packages: Sequence[str], progress: Progress) -> None:
    """Install with the device's own pip and index: a Raspberry Pi's index has more wheels than PyPI."""
    pip = [f"{folder}/bin/python", "-m", "pip"]
    # --no-deps: a newer numpy would break the system's picamera2, which was built for the system's numpy.
    options = ["--no-deps", "--no-compile", "--only-binary=:all:", "--disable-pip-version-check"]
    done = _run_with_progress(device, [*pip, "install", *options, *packages], progress)
    remedy = "check the device's network, or use --offline to copy the packages from this machine"
    require_success(device, f"install {' '.join(packages)}", done, remedy)
    done = device.run([*pip, "uninstall", "--quiet", "--yes", "setuptools", "pip"])
    require_success(device, "remove pip from the environment", done)


def _run_with_progress(device: Device, command: Sequence[str], progress: Progress) -> ProgramResult:
    """Run a longer command and report progress for each line it prints."""
    progress("install packages", 0, None)
    with device.start(command) as running:
        for count, _ in enumerate(running.lines(), 1):
            progress("install packages", count, None)
        return running.finish()


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
_OPENCV = "opencv-python-headless==4.11.0.86"
_LITERT = "ai-edge-litert==2.3.0"
_LITERT_3_9 = "ai-edge-litert==2.1.0"  # the last one for Python 3.9
_TFLITE = "tflite-runtime==2.14.0"


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
            packages.append(_OPENCV)
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
        return ["numpy==1.26.4"]
    return ["numpy==2.2.6"]


def wheels_for(needed: Requirements, progress: Progress) -> list[Path]:
    """Return the wheels that a device needs, from the cache or downloaded.

    Raises:
        EdgenetError: pip is missing, cannot reach its index, or finds no wheel.
    """
    name = hashlib.sha256("\n".join([*needed.packages, *_tags(needed)]).encode()).hexdigest()[:16]
    folder = cache_folder(os.environ) / "wheels" / name
    if not folder.is_dir():
        progress("download packages", 0, None)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as new:
            _download(needed, Path(new))
            shutil.copytree(new, f"{new}.whole")
            os.rename(f"{new}.whole", folder)
    return sorted(folder.glob("*.whl"))


def _download(needed: Requirements, folder: Path) -> None:
    options = ["--quiet", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check", *_tags(needed)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), *needed.packages],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or [
            done.stderr.strip()
        ]
        raise EdgenetError(
            f"cannot download {' '.join(needed.packages)}: {lines[-1]}",
            "check that this machine has a network connection and pip",
        )


# PEP 600's tags start at manylinux_2_17, for glibc 2.17; manylinux2014 is another name for it.
_OLDEST_GLIBC = 17


def _tags(needed: Requirements) -> list[str]:
    """Return pip's options that select wheels for the device: PEP 600 tags up to its glibc version."""
    newest = int(needed.python.glibc.split(".")[1])
    platforms = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(_OLDEST_GLIBC, newest + 1))]
    chosen = [part for name in platforms for part in ("--platform", f"{name}_{needed.userland}")]
    version = ".".join(map(str, needed.python.version))
    return ["--implementation", "cp", "--python-version", version, *chosen]
