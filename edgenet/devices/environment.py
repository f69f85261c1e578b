"""The Python environment of a device: the LiteRT runtime, beside the system's own picamera2 and numpy.

    HOME/environments/KEY/            a virtual environment; KEY is the hash of its contents
    HOME/environments/KEY/complete    written last; an environment without this file is made again

The packages depend on the device's architecture and its Python. The device's own pip installs them, or this
machine downloads their wheels and copies them. A phone has no Python, so its environment is the pack, which
includes one (see `phone_pack`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.foreign_text import read_json

from edgenet.devices.device import Device, DeviceFacts, ProgramResult
from edgenet.devices.shell import require_success, script
from edgenet.devices.wheels import (
    PIP_OPTIONS,
    Python,
    Requirements,
    differing_package,
    not_the_locked_file,
    pip_requirements,
    requirements,
    wheels_for,
)
from edgenet.errors import EdgenetError, one_line
from edgenet.files import sha256
from edgenet.progress import Progress

NEEDED_BYTES = 200_000_000
"""Peak use of disk space, while both the wheels and their unpacked contents are there."""
PACK = "pack"
"""The text in `complete` for an environment that includes its own Python."""
# One retry, because pip gives the reason of a failed connection only where it tries again.
_ASK_INDEX = """
"$1" -m pip index versions "$2" --retries 1 --timeout 5 --disable-pip-version-check --no-cache-dir 2>&1
status=$?
echo "date=$(date '+%Y-%m-%d %H:%M')"
echo "proxy=${https_proxy:+set}${HTTPS_PROXY:+set}"
exit $status
"""
_NO_ANSWER = ("Connection refused", "timed out", "Connection reset")
_OFFLINE = "or give --offline, with which this machine copies the packages"
_PROXY = "{name} does not get through its proxy", "check https_proxy and pip's configuration there"
# A part of what pip, urllib3 and OpenSSL say; what is wrong; what to do. The first that fits is told.
_REASONS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (
        ("certificate is not yet valid", "certificate has expired"),
        "by the clock of {name} it is {date}, and then the certificate of its package index is not valid",
        "set the clock there, for example with sudo timedatectl set-ntp true",
    ),
    (
        ("certificate verify failed", "CERTIFICATE_VERIFY_FAILED"),
        "{name} does not know who signed the certificate of its package index",
        "run sudo apt install ca-certificates there, check its clock (it says {date}) and what stands between it and "
        "the internet",
    ),
    (("ProxyError", "Cannot connect to proxy", "Tunnel connection failed"), *_PROXY),
    (
        ("Name or service not known", "name resolution", "No address associated"),
        "{name} finds no address for its package index",
        "connect it to the internet, check its name server",
    ),
    (
        ("Network is unreachable", "No route to host"),
        "{name} has no connection to the internet",
        "connect it",
    ),
    (
        _NO_ANSWER,
        "the package index of {name} does not answer",
        "check its connection to the internet",
    ),
)


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
    python = python_of(device, facts)
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
    check_room(device, facts, NEEDED_BYTES)
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


def usable_environments(device: Device, base: str | None = None) -> tuple[str, ...]:
    """Return the keys of all complete environments that match the device's current Python, and of packs.

    Args:
        device: the device.
        base: the folder whose `environments` to look at; None for edgenet's own.
    """
    return tuple(device.run(script(_USABLE, base or device.home)).out.decode(errors="replace").split())


# Prints the other fields of `Python` as JSON. The standard library's modules for this (platform, importlib.metadata,
# json) would take most of the time on a slow device: the versions of packages are in the names of their folders.
_ASK_PYTHON = """
import os, sys
from importlib.machinery import PathFinder
def version(name):
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for found in names:
            known, _, kind = found.rpartition(".")
            if known.lower().startswith(name + "-") and kind in ("dist-info", "egg-info"):
                return known.split("-")[1]
    return None
def text(value):
    return "null" if value is None else '"%s"' % value
def there(name):
    return "false" if PathFinder.find_spec(name) is None else "true"
try:
    glibc = os.confstr("CS_GNU_LIBC_VERSION").split()[1]
except (AttributeError, IndexError, OSError, ValueError):
    glibc = ""
print('{"numpy": %s, "cv2": %s, "venv": %s, "glibc": %s}' % (
    text(version("numpy")), there("cv2"), there("ensurepip"), text(glibc)))
"""


def python_of(device: Device, facts: DeviceFacts) -> Python:
    """Return what a device's python3 is and has.

    Raises:
        EdgenetError: it has none that works.
    """
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


def check_room(device: Device, facts: DeviceFacts, needed_bytes: int) -> None:
    """Check that a device has space for an environment.

    Raises:
        EdgenetError: it has not.
    """
    if facts.free_bytes is not None and facts.free_bytes < needed_bytes:
        raise EdgenetError(
            f"{device.name} has {facts.free_bytes / 1e6:.0f} MB free but needs {needed_bytes / 1e6:.0f} MB",
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
    if offline:
        make_from_wheels(device, folder, wheels_for(needed, progress), progress)
        return
    progress("make the environment", 0, None)
    _begin(device, folder, pip=True)
    _install(device, folder, needed.packages, progress)
    _finish(device, folder)


# Python adds the lines of such a file to the places where it looks for packages, after the environment's own.
_LAYER = """
for packages in "$1"/lib/python3*/site-packages; do
    python=${packages%/site-packages}
    printf '%s\\n' "$2/lib/${python##*/}/site-packages" >"$packages/edgenet.pth" || exit 1
done
"""


def make_from_wheels(
    device: Device, folder: str, wheels: Sequence[Path], progress: Progress, below: str | None = None
) -> None:
    """Make a virtual environment of wheels that lie on this machine; the device needs no pip.

    Args:
        device: the device.
        folder: the environment's folder there.
        wheels: the wheels' files.
        progress: reports every step.
        below: another environment's folder, whose packages this one has, too, unless it has them itself.

    Raises:
        EdgenetError: a step failed.
    """
    progress("make the environment", 0, None)
    _begin(device, folder, pip=False)
    named = {wheel.name: wheel for wheel in wheels}
    device.push(named, f"{folder}/wheels", progress)
    unpack_wheels(device, folder, "", named, progress)
    if below is not None:
        layered = device.run(script(_LAYER, folder, below))
        require_success(device, "layer the environment on edgenet's", layered)
    _finish(device, folder)


def _begin(device: Device, folder: str, pip: bool) -> None:
    # A virtual environment stores its own absolute path, so it must be made in its final folder; the file
    # `complete` marks it as finished.
    require_success(device, "prepare the environment", device.run(script(_CLEAR, folder)))
    without = [] if pip else ["--without-pip"]
    make = ["python3", "-m", "venv", "--system-site-packages", *without, folder]
    require_success(device, "make a virtual environment", device.run(make))


def _finish(device: Device, folder: str) -> None:
    require_success(device, "finish the environment", device.run(script(_FINISH, folder)))


# A wheel is a zip file whose files have their installed paths (PEP 427), so unpacking it needs no pip.
# The WebGPU library is left out: nothing here uses it, and it takes 17 MB. So are numpy's tests, half of its files,
# except the file that numpy.testing imports in numpy 2.2.
# The device compares the SHA-256 itself: what it unpacks is then what was checked here.
_UNPACK = """
import hashlib, io, re, sys, sysconfig, zipfile
unused = re.compile("numpy/(?!_core/tests/_natype)(.*/)?tests/|.*/libLiteRtWebGpuAccelerator[.]so")
for name, wanted in zip(sys.argv[2::2], sys.argv[3::2]):
    with open(name, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != wanted:
        sys.exit(name + " has another SHA-256 than on the machine that it came from")
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        files = [file for file in wheel.namelist() if not unused.match(file)]
        if any(".data/" in file for file in files):
            sys.exit(name + " has a .data folder, which only pip can install")
        wheel.extractall(sys.argv[1] or sysconfig.get_path("purelib"), files)
    print(name, flush=True)
"""


def unpack_wheels(
    device: Device, folder: str, packages: str, wheels: Mapping[str, Path | bytes], progress: Progress
) -> None:
    """Unpack the wheels in the environment's `wheels` folder with the environment's own Python.

    Args:
        device: the device.
        folder: the environment's folder.
        packages: absolute path of the target folder; "" for the environment's own site-packages.
        wheels: maps the wheels' names to their contents, or files on this machine, for their SHA-256.
        progress: reports the number of wheels unpacked.

    Raises:
        EdgenetError: the wheels cannot be unpacked.
    """
    pairs = [part for name, wheel in wheels.items() for part in (f"{folder}/wheels/{name}", sha256(wheel))]
    done = _run_with_progress(device, [f"{folder}/bin/python", "-c", _UNPACK, packages, *pairs], progress)
    require_success(device, "unpack the packages", done)


def _install(device: Device, folder: str, packages: Sequence[str], progress: Progress) -> None:
    """Install with the device's own pip and index, which must give files of PyPI's SHA-256."""
    check_package_index(device, f"{folder}/bin/python", packages[0].partition("==")[0])
    pip = [f"{folder}/bin/python", "-m", "pip"]
    device.push({_WANTED: pip_requirements(packages).encode()}, folder)
    command = [*pip, "install", "--no-compile", *PIP_OPTIONS, "--requirement", f"{folder}/{_WANTED}"]
    done = _run_with_progress(device, command, progress)
    if done.status and (package := differing_package((done.err + done.out).decode(errors="replace"))):
        raise not_the_locked_file(package, f"pip on {device.name}")
    remedy = "check the device's network, or use --offline to copy the packages from this machine"
    require_success(device, f"install {' '.join(packages)}", done, remedy)
    done = device.run([*pip, "uninstall", "--quiet", "--yes", "setuptools", "pip"])
    require_success(device, "remove pip from the environment", done)


_WANTED = "packages.txt"


def _run_with_progress(device: Device, command: Sequence[str], progress: Progress) -> ProgramResult:
    """Run a longer command and report progress for each line it prints."""
    progress("install packages", 0, None)
    with device.start(command) as running:
        for count, _ in enumerate(running.lines(), 1):
            progress("install packages", count, None)
        return running.finish()


def check_package_index(device: Device, python: str, package: str) -> None:
    """Check in seconds that pip on a device finds a package; a failure that we do not know is left to pip.

    pip itself tries for minutes, and then says that it finds no such version, whatever was wrong.

    Args:
        device: the device.
        python: the Python there whose pip will be used.
        package: the package's name, such as "numpy".

    Raises:
        EdgenetError: pip cannot reach its index; the message says why and what to do.
    """
    done = device.run(script(_ASK_INDEX, python, package))
    if done.status == 0:
        return
    printed, _, rest = done.out.decode(errors="replace").rpartition("date=")
    date, _, proxy = rest.strip().partition("\nproxy=")
    behind_proxy = [(_NO_ANSWER, *_PROXY)] if proxy else []
    for words, found, remedy in [*behind_proxy, *_REASONS]:
        if any(word in printed for word in words):
            facts = {"name": device.name, "date": date}
            raise EdgenetError(found.format(**facts), f"{remedy.format(**facts)}, {_OFFLINE}")
