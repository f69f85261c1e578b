"""The Python environment of a device: beside the system's packages, whose picamera2 and numpy it sees, the runtime.

HOME/environments/KEY/            a virtual environment; KEY is the hash of what it consists of
HOME/environments/KEY/complete    written last: without it the environment is made anew

A phone has no Python: its environment is the pack, which brings one (see `edgenet.pack`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet.devices.device import Device, DeviceFacts, Finished
from edgenet.devices.posix import script
from edgenet.devices.requirements import Python, Requirements, requirements
from edgenet.devices.wheels import wheels_for
from edgenet.errors import EdgenetError
from edgenet.progress import Progress

# About what it takes while wheels and what is in them are both there.
NEEDED_BYTES = 200_000_000
PACK = "pack"
"""What `complete` says of an environment that brings its own Python."""

_ASK = """
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

_USABLE = """
cd "$1/environments" 2>/dev/null || exit 0
python=$(readlink -f "$(command -v python3)")
for key in *; do
    [ -x "$key/bin/python" ] || continue
    case $(cat "$key/complete" 2>/dev/null) in pack | "${python:-none}") echo "$key" ;; esac
done
exit 0
"""
_CLEAR = 'rm -rf "$1"; mkdir -p "${1%/*}"'
# A wheel is a zip whose files lie as they shall lie (PEP 427): no pip is needed there.
# Left out: the library for GPUs of browsers' kind, 17 MB.
_UNPACK = """
import sys, sysconfig, zipfile
for name in sys.argv[2:]:
    with zipfile.ZipFile(name) as wheel:
        files = [file for file in wheel.namelist() if not file.endswith("/libLiteRtWebGpuAccelerator.so")]
        if any(".data/" in file for file in files):
            sys.exit(name + " needs pip")
        wheel.extractall(sys.argv[1] or sysconfig.get_path("purelib"), files)
    print(name, flush=True)
"""
# What _USABLE asks for, which may be a launcher and not the program that the environment links to.
_FINISH = """
cd "$1" || exit 1
rm -rf wheels lib/python*/site-packages/ai_edge_litert/libLiteRtWebGpuAccelerator.so
sync && readlink -f "$(command -v python3)" >complete && sync
"""


@dataclass(frozen=True)
class Environment:
    """An environment that is ready there.

    Attributes:
        key: its name in `environments`.
        made: packages that were installed just now; empty where it was there.
        notes: what the user should know.
    """

    key: str
    made: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ensure_environment(device: Device, offline: bool, progress: Progress) -> Environment:
    """Makes the environment that the device needs, unless it is there.

    Args:
        device: where.
        offline: have this machine download the packages and bring them along.
        progress: counts the packages.

    Raises:
        EdgenetError: the device has no usable Python, no runtime exists for it, or something failed on the way.
    """
    facts = device.facts()
    if (facts.system or "").startswith("Android"):
        from edgenet.pack.phone import ensure_pack

        return ensure_pack(device, progress)
    python = _python_of(device, facts)
    needed = requirements(facts, python)
    key = _key(needed, facts)
    folder = f"{device.home}/environments/{key}"
    if key in usable_environments(device):
        return Environment(key, (), needed.notes)
    if not (python.venv or offline):
        raise EdgenetError(
            f"{device.name} has no pip for virtual environments",
            "sudo apt install python3-venv, there, or --offline, which does without",
        )
    _check_room(device, facts)
    _make(device, folder, needed, offline, progress)
    return Environment(key, needed.packages, needed.notes)


def usable_environments(device: Device) -> tuple[str, ...]:
    """Keys of the complete environments there that are for the system's present Python."""
    return tuple(device.run(script(_USABLE, device.home)).out.decode().split())


def _python_of(device: Device, facts: DeviceFacts) -> Python:
    done = device.run(["python3", "-c", _ASK])
    if facts.python is None or done.status:
        raise EdgenetError(
            f"{device.name} has no working python3", "sudo apt install python3 python3-venv, there"
        )
    told = json.loads(done.out)
    return Python(
        version=facts.python[:2], numpy=told["numpy"], cv2=told["cv2"], venv=told["venv"], glibc=told["glibc"]
    )


def _key(needed: Requirements, facts: DeviceFacts) -> str:
    assert facts.python is not None
    parts = [facts.userland, *map(str, facts.python[:2]), *needed.packages]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _check_room(device: Device, facts: DeviceFacts) -> None:
    if facts.free_bytes is not None and facts.free_bytes < NEEDED_BYTES:
        raise EdgenetError(
            f"{device.name} has {facts.free_bytes / 1e6:.0f} MB left and needs {NEEDED_BYTES / 1e6:.0f} MB",
            "free some space there",
        )


def _make(device: Device, folder: str, needed: Requirements, offline: bool, progress: Progress) -> None:
    wheels = wheels_for(needed, progress) if offline else []
    progress("make the environment", 0, None)
    # A virtual environment knows its own absolute path, so it is made in its place; `complete` says that it is done.
    _must(device, "prepare the environment", device.run(script(_CLEAR, folder)))
    pip = ["--without-pip"] if offline else []
    make = ["python3", "-m", "venv", "--system-site-packages", *pip, folder]
    _must(device, "make a virtual environment", device.run(make))
    if offline:
        device.push({wheel.name: wheel for wheel in wheels}, f"{folder}/wheels", progress)
        unpack_wheels(device, folder, "", wheels, progress)
    else:
        _install(device, folder, needed.packages, progress)
    _must(device, "finish the environment", device.run(script(_FINISH, folder)))


def unpack_wheels(
    device: Device, folder: str, packages: str, wheels: Sequence[Path], progress: Progress
) -> None:
    """Has the environment's own Python unpack what lies in its `wheels`.

    Args:
        device: where.
        folder: of the environment.
        packages: absolute path of the folder that they go to; "" for the environment's own.
        wheels: their names count.
        progress: counts them.

    Raises:
        EdgenetError: they cannot be unpacked.
    """
    names = [f"{folder}/wheels/{wheel.name}" for wheel in wheels]
    done = _watched(device, [f"{folder}/bin/python", "-c", _UNPACK, packages, *names], progress)
    _must(device, "unpack the packages", done)


def _install(device: Device, folder: str, packages: Sequence[str], progress: Progress) -> None:
    """With the device's own pip and its own index, which on a Pi knows more wheels than others do."""
    pip = [f"{folder}/bin/python", "-m", "pip"]
    # --no-deps: exactly what is named; a newer numpy would break the system's picamera2, which was built for its own.
    options = ["--no-deps", "--no-compile", "--only-binary=:all:", "--disable-pip-version-check"]
    done = _watched(device, [*pip, "install", *options, *packages], progress)
    remedy = "it may have no network: --offline brings the packages from here"
    _must(device, f"install {' '.join(packages)}", done, remedy)
    done = device.run([*pip, "uninstall", "--quiet", "--yes", "setuptools", "pip"])
    _must(device, "remove pip from the environment", done)


def _watched(device: Device, command: Sequence[str], progress: Progress) -> Finished:
    """Runs a longer command; each line that it prints is progress."""
    progress("install packages", 0, None)
    with device.start(command) as running:
        for count, _ in enumerate(running.lines(), 1):
            progress("install packages", count, None)
        return running.finish()


def _must(device: Device, what: str, done: Finished, remedy: str = "do the same again") -> None:
    if done.status:
        full = b"No space left" in done.err
        raise EdgenetError(
            f"cannot {what} on {device.name}: {done.last_words()}",
            "free some space there" if full else remedy,
        )
