"""A release as edgenet laid it out before its scripts became the package `edgenet_device`; some devices still hold one.

Its scripts were the package `device_scripts` itself, and camera.sh ran `python -m device_scripts.camera`. The camera
here only prints that it was called, and its arguments.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

BUNDLE = "old.edgenet"
IDENTITY = "0123456789abcdef"
_CAMERA_SH = """#!/bin/sh
here=$(cd -P "$(dirname "$0")" && pwd) && PYTHONPATH=$here &&
export PYTHONPATH && exec "$here/environment/bin/python" -m device_scripts.camera "$here/old.edgenet" "$@"
"""
_FILES = {
    "device_scripts/__init__.py": "",
    "device_scripts/entry.py": 'SEEN = "the old camera"\n',
    "device_scripts/camera.py": (
        "import os, sys\nfrom device_scripts.entry import SEEN\n"
        "print(SEEN, os.path.basename(sys.argv[1]), *sys.argv[2:])\n"
    ),
    "camera.sh": _CAMERA_SH,
    BUNDLE: "a bundle",
}


def write_old_release(home: Path) -> str:
    """Lay out the release in edgenet's folder on a device, in use and verified, and return its ID.

    Args:
        home: the folder, such as ~/.local/share/edgenet; the device is this machine.
    """
    folder = home / "releases" / IDENTITY
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    sums = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(_FILES.items())]
    (folder / "SHA256SUMS").write_text("".join(sums))
    (folder / "verified").touch()
    python = home / "environments" / "old" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # Not a link: Python would look for its packages beside the link.
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    (folder / "environment").symlink_to("../../environments/old")
    (home / "current").symlink_to(f"releases/{IDENTITY}")
    return IDENTITY
