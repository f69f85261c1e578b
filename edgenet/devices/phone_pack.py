"""The pack: the environment of a phone, which has no Python of its own.

Its C library and its Python come from Debian's packages, LiteRT and numpy from their wheels. It is copied
once, checked there, and complete only after its Python has run. In HOME/environments/KEY it has this layout:

    bin/ld.so, lib/    the C library's loader, and the libraries it loads
    python             the interpreter; on a phone only that loader can start it
    bin/python         a script that starts the interpreter with the loader; other programs use only this
                       script
    modules/           Python's standard library, LiteRT and numpy, unpacked by that Python from stdlib.zip and from
                       their wheels, which are removed afterwards; it keeps the byte code of what it imports there
    lib-dynload/       the C modules of the standard library
    cache/             the names of the models that have run there (see edgenet_device/trial.py); a phone's user has no
                       other place for them
    opencv/            OpenCV, which only photos need: `bench` does without it, and `deploy` brings it
    licences/          the licence of each Debian package

OpenCV is the wheel that other devices get, although it is nearly as large as all the rest together. A smaller decoder
with a resize of our own would be a second implementation of the rule in edgenet_device/preprocess.py, and every
difference between the two would be a difference between the accuracy that was measured and that on the phone.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Lock

from edgenet.devices.device import Device, DeviceFacts
from edgenet.devices.environment import (
    PACK,
    Environment,
    check_room,
    unpack_wheels,
    usable_environments,
)
from edgenet.devices.releases import SUMS
from edgenet.devices.shell import require_success, script
from edgenet.devices.wheels import OPENCV, Python, Requirements, requirements, wheels_for
from edgenet.errors import EdgenetError
from edgenet.files import cache_folder, sha256, write_atomically
from edgenet.progress import Progress

NEEDED_BYTES = 130_000_000
"""Peak use of disk space: 16 MB of Debian's files, 29 MB of wheels, and 80 MB of what is unpacked."""
OPENCV_BYTES = 115_000_000
"""The same for OpenCV in a pack that is there already: its wheel of 29 MB, and the 77 MB that are unpacked from it."""
BOTH_BYTES = 210_000_000
"""The same for both, one after the other: 98 MB of the pack stay."""
# When several phones are measured at once, only the first one downloads; the others use the cache.
_DOWNLOADS = Lock()
_BROWSER = (
    "use the phone's browser: edgenet camera BUNDLE --on adb, or edgenet bench BUNDLE --on adb --browser"
)
_CLEAR = 'rm -rf "$1" && mkdir -p "$1"'
_FORBIDDEN = 126  # a shell's exit status for a program that exists but cannot be started
_TRY = """
cd "$1" && printf '#!/system/bin/sh\\nexit 0\\n' >starts && chmod 755 starts || exit 1
./starts || exit 126
rm starts
"""
_STDLIB = "wheels/stdlib.zip"
_CHECK = 'cd "$1" && sha256sum -c "$2" >/dev/null'
_FINISH = 'cd "$1" && rm -r wheels && sync && echo "$2" >complete && sync'


def ensure_pack(device: Device, progress: Progress, opencv: bool = False) -> Environment:
    """Install the pack on the phone, unless it is already there.

    Args:
        device: the phone.
        progress: reports every step.
        opencv: install OpenCV in it, too.

    Raises:
        EdgenetError: the phone cannot hold or run the pack, or a part of it cannot be downloaded; the message
            says why.
    """
    key = pack_key()
    made: tuple[str, ...] = ()
    if key not in usable_environments(device):
        _check_phone(device, BOTH_BYTES if opencv else NEEDED_BYTES)
        _make_pack(device, key, progress)
        made = needed_packages().packages
    return Environment(key, (*made, *add_opencv(device, key, progress)) if opencv else made)


def _check_phone(device: Device, needed_bytes: int) -> None:
    facts = device.facts()
    if facts.userland != "aarch64":
        raise EdgenetError(
            f"{device.name} is {facts.userland}, and the pack is for 64-bit Arm",
            _BROWSER,
        )
    check_room(device, facts, needed_bytes)


def _make_pack(device: Device, key: str, progress: Progress) -> None:
    folder = f"{device.home}/environments/{key}"
    require_success(device, "prepare the folder", device.run(script(_CLEAR, folder)))
    tried = device.run(script(_TRY, folder))
    if tried.status == _FORBIDDEN:
        raise EdgenetError(
            f"{device.name} cannot start programs in {device.home}: it is mounted noexec, or Android forbids it",
            _BROWSER,
        )
    require_success(device, "try the folder", tried)
    with _DOWNLOADS:
        wheels = {wheel.name: wheel for wheel in pack_wheels(progress)}
        files = pack_files(progress)
    sums = "".join(f"{sha256(content)}  {name}\n" for name, content in sorted(files.items()))
    # The wheels are checked when they are unpacked.
    pushed = {**files, **{f"wheels/{name}": wheel for name, wheel in wheels.items()}, SUMS: sums.encode()}
    device.push(pushed, folder, progress)
    progress("verify", 0, None)
    require_success(device, "accept the copied files", device.run(script(_CHECK, folder, SUMS)))
    packed = {"stdlib.zip": files[_STDLIB], **wheels}
    unpack_wheels(device, folder, f"{folder}/modules", packed, progress)
    require_success(device, "finish the pack", device.run(script(_FINISH, folder, PACK)))


# What an interrupted run has left makes room.
_HAS_OPENCV = """
cd "$1" || exit 1
[ ! -d opencv ] || exit 0
rm -rf wheels opencv.new
exit 1
"""
_FINISH_OPENCV = 'cd "$1" && rm -r wheels && sync && mv opencv.new opencv && sync'


def add_opencv(device: Device, key: str, progress: Progress) -> tuple[str, ...]:
    """Install OpenCV in a pack, unless it is already there; return what was installed.

    Args:
        device: the phone.
        key: the pack's key.
        progress: reports every step.

    Raises:
        EdgenetError: the phone has too little space, the wheel cannot be downloaded, or a step failed.
    """
    folder = f"{device.home}/environments/{key}"
    if device.run(script(_HAS_OPENCV, folder)).status == 0:
        return ()
    check_room(device, device.facts(), OPENCV_BYTES)
    wheels = {wheel.name: wheel for wheel in opencv_wheels(progress)}
    device.push(wheels, f"{folder}/wheels", progress)
    unpack_wheels(device, folder, f"{folder}/opencv.new", wheels, progress)
    require_success(device, "finish OpenCV", device.run(script(_FINISH_OPENCV, folder)))
    return (OPENCV,)


_PYTHON = (3, 11)
_GLIBC = "2.36"


def needed_packages() -> Requirements:
    """Return what `pack_wheels` gets: as for any device, but without OpenCV."""
    facts = DeviceFacts("aarch64", "aarch64", None, None, (*_PYTHON, 2), (), None)
    return requirements(facts, Python(_PYTHON, numpy=None, cv2=True, venv=False, glibc=_GLIBC))


_LAYOUT = 2  # increase this when the pack changes although its packages, wheels and start script do not
# --argv0 names this script, so that sys.executable is a path that starts the interpreter again. stdlib.zip is there
# only until this Python has unpacked it, because Python keeps no byte code of modules in a zip file and would compile
# them at every start.
_START = """#!/system/bin/sh
here=$(cd -P "${0%/*}/.." && pwd) && PYTHONHOME=$here
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$here/modules:$here/lib-dynload:$here/opencv:$here/wheels/stdlib.zip
export PYTHONHOME PYTHONPATH EDGENET_CACHE="${EDGENET_CACHE:-$here/cache}"
exec "$here/bin/ld.so" --argv0 "$here/bin/python" --library-path "$here/lib" "$here/python" "$@"
"""
_LISTED = Path(__file__).with_suffix(".sha256").read_text().split()
PACKAGES = dict(zip(_LISTED[1::2], _LISTED[::2], strict=True))
"""Maps the path of each Debian package on a mirror to its SHA-256.

The checksums come from the index that Debian signed for release 12.15. A file from any server is accepted
only if its checksum matches.
"""


def pack_key() -> str:
    """Return the pack's key, a hash of its parts: 16 hexadecimal digits, known without building the pack."""
    parts = [_LAYOUT, sorted(PACKAGES.items()), needed_packages().packages, OPENCV, _START]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def pack_wheels(progress: Progress) -> list[Path]:
    """Return the pack's wheels, downloaded or from the cache.

    Raises:
        EdgenetError: see `wheels_for`.
    """
    return wheels_for(needed_packages(), progress)


def opencv_wheels(progress: Progress) -> list[Path]:
    """Return the wheel of OpenCV, downloaded or from the cache.

    Raises:
        EdgenetError: see `wheels_for`.
    """
    return wheels_for(replace(needed_packages(), packages=(OPENCV,)), progress)


_LIBRARIES = re.compile(
    r"(usr/)?lib/aarch64-linux-gnu/lib"
    r"(c|m|dl|rt|pthread|util|resolv|z|expat|ffi|gcc_s|stdc\+\+)\.so\.\d+"
)
_MODULES = "usr/lib/python3.11/"
_LEFT_OUT = re.compile(
    r"(test|idlelib|tkinter|turtledemo|ensurepip|lib2to3|pydoc_data|config-.*|__pycache__)/|.*\.(pyc|exe)"
)
_C_MODULES = re.compile(
    r"lib-dynload/(?!_test|_xx|xx|_codecs_|_ssl|_hashlib|_sqlite|_curses|_dbm|_lzma|_bz2|readline|nis)"
)


def pack_files(progress: Progress) -> dict[str, Path | bytes]:
    """Return the pack's files except the wheels, by path within the pack.

    Raises:
        EdgenetError: a Debian package cannot be downloaded.
    """
    there = package_files(progress)
    files: dict[str, Path | bytes] = {
        f"lib/{name.rsplit('/', 1)[1]}": content
        for name, content in there.items()
        if _LIBRARIES.fullmatch(name)
    }
    modules = {name[len(_MODULES) :]: content for name, content in there.items() if name.startswith(_MODULES)}
    files |= {name: content for name, content in modules.items() if _C_MODULES.match(name)}
    files[_STDLIB] = _zipped(
        {
            name: content
            for name, content in modules.items()
            if not name.startswith("lib-dynload/") and not _LEFT_OUT.match(name)
        }
    )
    # ld.so must be in bin/, because only files in bin/ are copied as executable.
    files["bin/ld.so"] = there["lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"]
    files["python"] = there["usr/bin/python3.11"]
    files["bin/python"] = _START.encode()
    licences = ((_LICENCE.fullmatch(name), content) for name, content in there.items())
    files |= {f"licences/{found[1]}.txt": content for found, content in licences if found}
    return {**files, "licences/gcc-12.txt": _GCC.encode()}


_LICENCE = re.compile(r"usr/share/doc/([^/]+)/copyright")
_GCC = """\
libgcc_s.so.1 and libstdc++.so.6 are of GCC 12.2.0, Copyright (C) Free Software Foundation, Inc.
Licence: GNU General Public License, version 3 or later, with the GCC Runtime Library Exception, version 3.1
(https://www.gnu.org/licenses/gcc-exception-3.1.html). Source: Debian's source package gcc-12.
"""
"""Debian has the licence of these two in gcc-12-base, a package of which the pack needs nothing else."""


def _zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


def package_files(progress: Progress) -> dict[str, bytes]:
    """Return all files of the Debian packages, by their installed path in Debian; links are resolved.

    Raises:
        EdgenetError: a package cannot be downloaded.
    """
    files: dict[str, bytes] = {}
    for count, (path, digest) in enumerate(PACKAGES.items()):
        progress("download Debian packages", count, len(PACKAGES))
        files |= _unpacked(_package(path, digest))
    return files


_WAIT_S = 60.0


def _package(path: str, digest: str) -> bytes:
    kept = cache_folder(os.environ) / "debian" / digest
    if kept.is_file() and sha256(kept) == digest:
        return kept.read_bytes()
    reason = ""
    for mirror in _mirrors():
        try:
            with urllib.request.urlopen(f"{mirror}/{path}", timeout=_WAIT_S) as response:
                content: bytes = response.read()
        except (OSError, http.client.HTTPException) as error:  # the latter if the connection ends early
            reason = str(error)
            continue
        if hashlib.sha256(content).hexdigest() == digest:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(kept, content)
            return content
        reason = "the downloaded file has a wrong checksum"
    raise EdgenetError(
        f"cannot download Debian's {Path(path).name}: {reason}",
        "check that this machine has a network connection, or set EDGENET_DEBIAN_MIRROR to a Debian mirror",
    )


OFFICIAL = "https://deb.debian.org/debian"  # Debian's documented address for users in every country
# The archive keeps packages that a later point release has replaced on the mirrors.
OLDER = "https://snapshot.debian.org/archive/debian/20260901T000000Z"


def _mirrors() -> list[str]:
    """Return the mirrors to try, in order: the user's, those of this machine's apt, Debian's servers."""
    named = os.environ.get("EDGENET_DEBIAN_MIRROR")
    found = [named] if named else []
    if shutil.which("apt-get"):
        ask = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
        done = subprocess.run(ask, capture_output=True, text=True, check=False)
        found += [line for line in done.stdout.split() if line.startswith("http")]
    return list(dict.fromkeys(mirror.rstrip("/") for mirror in [*found, OFFICIAL, OLDER]))


def _unpacked(package: bytes) -> dict[str, bytes]:
    """Return the files that a .deb installs: those in data.tar.xz inside its ar archive (deb(5))."""
    with tarfile.open(fileobj=io.BytesIO(_data_of(package))) as archive:
        found = {}
        for member in archive.getmembers():
            if not (member.isfile() or member.issym()):
                continue
            try:
                content = archive.extractfile(member)
            except KeyError:  # a link to a file of another package
                continue
            if content is not None:
                found[member.name.removeprefix("./")] = content.read()
    return found


def _data_of(package: bytes) -> bytes:
    place = len(b"!<arch>\n")
    while place + 60 <= len(package):
        header = package[place : place + 60]
        size = int(header[48:58])
        if header[:16].rstrip(b" /") == b"data.tar.xz":
            return package[place + 60 : place + 60 + size]
        place += 60 + size + size % 2
    raise EdgenetError("a Debian package has no data.tar.xz")
