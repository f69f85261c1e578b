"""The contents of the pack, in the layout they will have on the phone.

bin/ld.so, lib/    the C library's loader, and the libraries it loads
python             the interpreter; on a phone only that loader can start it
bin/python         a script that starts the interpreter with the loader; other programs use only this script
stdlib.zip         Python's standard library, compressed; its C modules are in lib-dynload/
site-packages/     LiteRT and numpy, unpacked from their wheels by that Python
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from hashlib import sha256
from pathlib import Path

from edgenet.devices.device import DeviceFacts
from edgenet.devices.requirements import Python, Requirements, requirements
from edgenet.devices.wheels import wheels_for
from edgenet.pack.debian import PACKAGES, package_files
from edgenet.progress import Progress

_LAYOUT = 1  # increase this when the pack changes although its packages, wheels and start script do not
_PYTHON = (3, 11)
_GLIBC = "2.36"
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
# --argv0 names this script, so that sys.executable is a path that starts the interpreter again.
_START = """#!/system/bin/sh
here=$(cd -P "${0%/*}/.." && pwd) && PYTHONHOME=$here PYTHONDONTWRITEBYTECODE=1
PYTHONPATH=${PYTHONPATH:+$PYTHONPATH:}$here/stdlib.zip:$here/lib-dynload:$here/site-packages
export PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
exec "$here/bin/ld.so" --argv0 "$here/bin/python" --library-path "$here/lib" "$here/python" "$@"
"""


def needed_packages() -> Requirements:
    """Return the pack's wheels: as for any device, but without OpenCV, which bench does not use."""
    facts = DeviceFacts("aarch64", "aarch64", None, None, (*_PYTHON, 2), (), None)
    return requirements(facts, Python(_PYTHON, numpy=None, cv2=True, venv=False, glibc=_GLIBC))


def pack_key() -> str:
    """Return the pack's key, a hash of its parts: 16 hexadecimal digits, known without building the pack."""
    parts = [_LAYOUT, sorted(PACKAGES.items()), needed_packages().packages, _START]
    return sha256(json.dumps(parts).encode()).hexdigest()[:16]


def pack_wheels(progress: Progress) -> list[Path]:
    """Return the pack's wheels, downloaded or from the cache.

    Raises:
        EdgenetError: see `wheels_for`.
    """
    return wheels_for(needed_packages(), progress)


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
    files["stdlib.zip"] = _zipped(
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
    return files


def _zipped(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return made.getvalue()
