"""The files copied to a device: a bundle, the device scripts, and a script that starts the camera."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import device_scripts
from edgenet.errors import EdgenetError
from edgenet.files import sha256

SUMS = "SHA256SUMS"
START = "camera.sh"

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# The service runs this script, and so can a person on the device, with the arguments of camera.py.
_START = """#!/bin/sh
here=$(cd -P "$(dirname "$0")" && pwd) && PYTHONPATH=$here &&
export PYTHONPATH && exec "$here/environment/bin/python" -m device_scripts.camera "$here/{bundle}" "$@"
"""


@dataclass(frozen=True)
class Release:
    """A release: the files to be copied to a device.

    Attributes:
        identity: hash of all files and of the environment's key, 16 hexadecimal digits.
        files: maps each path within the release to contents or to a file on this machine.
        bundle: the model's path within the release.
    """

    identity: str
    files: dict[str, Path | bytes]
    bundle: str


def release_of(bundle: Path, environment: str | None) -> Release:
    """Return the release for a bundle (or .tflite).

    Args:
        bundle: the file.
        environment: key of the environment that the release will use; None if it uses none.

    Raises:
        EdgenetError: there is no such file.
    """
    if not bundle.is_file():
        raise EdgenetError(f"there is no file {bundle}", "give a bundle made by edgenet convert or package")
    # The device shows the file's name, so it is kept unless SHA256SUMS could not hold it.
    name = bundle.name if _PLAIN.fullmatch(bundle.name) else f"model{bundle.suffix}"
    files = {**script_files(), name: bundle, START: _START.replace("{bundle}", name).encode()}
    sums = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    identity = hashlib.sha256(sums + (environment or "").encode()).hexdigest()[:16]
    return Release(identity, {**files, SUMS: sums}, name)


def script_files() -> dict[str, Path | bytes]:
    """Return the device scripts, by their path within the release."""
    folder = Path(device_scripts.__file__).parent
    return {
        f"device_scripts/{path.name}": path
        for path in sorted(folder.iterdir())
        if path.suffix in (".py", ".html")
    }


def bundle_in(sums: str) -> str | None:
    """Return the bundle's file name, found in a release's SHA256SUMS; None if it lists no bundle."""
    names = [line.partition("  ")[2] for line in sums.splitlines()]
    return next((name for name in names if "/" not in name and name != START), None)
