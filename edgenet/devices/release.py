"""What goes to a device: a bundle, the device scripts, and how to start the camera there."""

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
# For the service, and for a person on the device: the arguments are those of camera.py.
_START = """#!/bin/sh
here=$(cd -P "$(dirname "$0")" && pwd) && PYTHONPATH=$here &&
export PYTHONPATH && exec "$here/environment/bin/python" -m device_scripts.camera "$here/{bundle}" "$@"
"""


@dataclass(frozen=True)
class Release:
    """A release as it will lie there.

    Attributes:
        identity: hash of all of it, 16 hexadecimal digits.
        files: contents, or files here, by path within it.
        bundle: the model's path within it.
    """

    identity: str
    files: dict[str, Path | bytes]
    bundle: str


def release_of(bundle: Path, environment: str | None) -> Release:
    """The release for a bundle (or .tflite).

    Args:
        bundle: the file.
        environment: key of the environment that it will use.

    Raises:
        EdgenetError: the bundle cannot be read.
    """
    if not bundle.is_file():
        raise EdgenetError(f"there is no file {bundle}", "give a bundle, made by edgenet convert or package")
    # The name is shown on the device; one that a checksum file could not hold is replaced.
    name = bundle.name if _PLAIN.fullmatch(bundle.name) else f"model{bundle.suffix}"
    files = {**script_files(), name: bundle, START: _START.replace("{bundle}", name).encode()}
    sums = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    identity = hashlib.sha256(sums + (environment or "").encode()).hexdigest()[:16]
    return Release(identity, {**files, SUMS: sums}, name)


def script_files() -> dict[str, Path | bytes]:
    """The device scripts, by their path on the device."""
    folder = Path(device_scripts.__file__).parent
    return {
        f"device_scripts/{path.name}": path
        for path in sorted(folder.iterdir())
        if path.suffix in (".py", ".html")
    }


def bundle_in(sums: str) -> str | None:
    """The bundle's name, by a release's SHA256SUMS."""
    names = [line.partition("  ")[2] for line in sums.splitlines()]
    return next((name for name in names if "/" not in name and name != START), None)
