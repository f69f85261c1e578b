"""Releases: a bundle with the device scripts that run it, and how one release replaces another on a device.

    HOME/releases/ID/         a bundle with the device scripts; ID is the hash of all files
        SHA256SUMS            checksums of every file
        camera.sh             starts the camera; a phone has classify.sh instead, which classifies photos
        environment           link to the Python environment, if the release has one
        previous              link to the release that ran before this one
        verified              exists once the model has run on this device
    HOME/environments/KEY/    see `environment`
    HOME/incoming-ID/         a release being copied
    HOME/set-aside/ID-N/      a release in which somebody changed or added files; it is never removed
    HOME/current              link to the release in use; switching releases changes only this link

Power may fail at any moment. So incomplete files have another folder name, everything is synced to disk
before it is renamed to its final name, and `current` changes by one rename(2). The next deploy continues
where the last one stopped.

A release may come from an older edgenet, whose scripts were laid out differently. So nothing outside a
release knows its scripts: the service and a person start its camera.sh, and all else is in this layout.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from edgenet_device.updates.release import (
    ACTIVATE,
    CHANGES,
    COMMIT,
    PRUNE,
    RUNNING,
    VERIFIED,
    WHOLE,
)

from edgenet.assets import device_files
from edgenet.devices.device import Device, ProgramResult
from edgenet.devices.shell import require_success, script, understood
from edgenet.errors import EdgenetError
from edgenet.files import sha256

SCRIPTS = "device_scripts"
"""The folder of the scripts within a release."""
START = "camera.sh"
PHONE_START = "classify.sh"
SUMS = "SHA256SUMS"
"""The list of its files in every folder that edgenet brought to a device.

The shell functions of `edgenet_device.updates.release` find by it what somebody changed or added, and set such a folder
aside.
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


_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
# The service runs camera.sh, and so can a person on the device, with the arguments of camera.py.
_START_TEXT = """#!/bin/sh
here=$(cd -P "$(dirname "$0")" && pwd) &&
exec "$here/environment/bin/python" "$here/device_scripts/{program}" "$here/{bundle}" "$@"
"""


def release_of(bundle: Path, environment: str | None, phone: bool = False) -> Release:
    """Return the release for a bundle (or .tflite).

    Args:
        bundle: the file.
        environment: key of the environment that the release will use; None if it uses none.
        phone: whether it is for a phone, whose cameras no script can use.

    Raises:
        EdgenetError: there is no such file.
    """
    require_bundle(bundle)
    # The device shows the file's name, so it is kept unless SHA256SUMS could not hold it.
    name = bundle.name if _PLAIN.fullmatch(bundle.name) else f"model{bundle.suffix}"
    start = PHONE_START if phone else START
    text = _START_TEXT.replace("{program}", f"{Path(start).stem}.py").replace("{bundle}", name)
    files = {**script_files(phone), name: bundle, start: text.encode()}
    sums = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    identity = hashlib.sha256(sums + (environment or "").encode()).hexdigest()[:16]
    return Release(identity, {**files, SUMS: sums}, name)


def require_bundle(bundle: Path) -> None:
    """Raise an EdgenetError unless the file is there."""
    if not bundle.is_file():
        raise EdgenetError(f"there is no file {bundle}", "give a bundle made by edgenet convert or package")


# What is for cameras, the service and updates. Of edgenet_device.live, the rest is what classify.py needs.
_NOT_FOR_PHONES = re.compile(
    r"(camera|capture)\.py|edgenet_device/"
    r"((collecting|events|field|updates|web)/.*|live/(?!(__init__|classify|drawing|loop)\.py).*)"
)


def script_files(phone: bool = False) -> dict[str, Path | bytes]:
    """Return the device scripts, by their path within the release; for a phone, those that can run there."""
    files = device_files().items()
    return {
        f"{SCRIPTS}/{name}": path for name, path in files if not (phone and _NOT_FOR_PHONES.fullmatch(name))
    }


def bundle_in(sums: str) -> str | None:
    """Return the bundle's file name, found in a release's SHA256SUMS; None if it lists no bundle."""
    names = [line.partition("  ")[2] for line in sums.splitlines()]
    return next((name for name in names if "/" not in name and name not in (START, PHONE_START)), None)


def is_intact(device: Device, release: str) -> bool:
    """Return whether the release is on the device and verified, with all checksums right."""
    return _run(device, WHOLE, release).status == 0


def changed_files(device: Device, release: str) -> tuple[str, ...]:
    """Return the files of a release that somebody changed or added on the device."""
    done = _run(device, f'{CHANGES}\nchanges "$1/releases/$2"', release)
    return tuple(done.out.decode(errors="replace").splitlines())


_PREPARE = """
mkdir -p "$1/releases" || exit 1
for stale in "$1"/incoming-* "$1"/releases/*.damaged; do
    [ "$stale" = "$1/incoming-$2" ] || rm -rf "$stale"
done
"""


def prepare(device: Device, release: str) -> str:
    """Return the folder to copy a release into; remove other releases that were only half copied.

    Raises:
        EdgenetError: the device cannot create the folders.
    """
    require_success(device, "prepare the folder", _run(device, _PREPARE, release))
    return f"{device.home}/incoming-{release}"


def commit(device: Device, release: str, environment: str | None) -> tuple[SetAside, ...]:
    """Move a copied release to its final name, after checking its checksums and syncing it to disk.

    A release of that name which is no longer as it was copied is set aside.

    Args:
        device: the device.
        release: the release's ID.
        environment: key of its environment; None if it has none.

    Returns:
        what was set aside.

    Raises:
        EdgenetError: a checksum is wrong, or a file cannot be written.
    """
    done = _run(device, COMMIT, release, environment or "")
    require_success(device, "accept the copied files", done)
    return folders_set_aside(done)


def mark_verified(device: Device, release: str) -> None:
    """Record that the release's model has run on the device."""
    require_success(device, "mark the release as verified", _run(device, VERIFIED, release))


def activate(device: Device, release: str) -> None:
    """Point `current` to the release, in one step.

    Raises:
        EdgenetError: the release is not verified, or the link cannot be changed.
    """
    require_success(device, "activate the release", _run(device, ACTIVATE, release))


def running(device: Device) -> tuple[str | None, str | None]:
    """Return the IDs of the release that `current` points to and of the one that ran before it, or None."""
    with understood(device):
        now, before = _run(device, RUNNING).out.decode().split("\n")[:2]
    return now or None, before or None


def prune(device: Device) -> tuple[SetAside, ...]:
    """Remove old releases and the environments that only they used; return those that were set aside instead."""
    done = _run(device, PRUNE)
    require_success(device, "remove old releases", done)
    return folders_set_aside(done)


def _run(device: Device, text: str, *values: str) -> ProgramResult:
    return device.run(script(text, device.home, *values))


@dataclass(frozen=True)
class SetAside:
    """A folder with somebody's own files, which was moved out of the way.

    Attributes:
        folder: where it is now, on the device.
        files: the files that were changed or added, by their path in the folder.
    """

    folder: str
    files: tuple[str, ...]


def folders_set_aside(done: ProgramResult) -> tuple[SetAside, ...]:
    """Return what a script that calls `set_aside` has moved, from its output."""
    found: list[SetAside] = []
    for line in done.out.decode(errors="replace").splitlines():
        if line.startswith(" ") and found:
            found[-1] = SetAside(found[-1].folder, (*found[-1].files, line[1:]))
        else:
            found.append(SetAside(line, ()))
    return tuple(found)
