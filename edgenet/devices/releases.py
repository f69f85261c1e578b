"""Releases: a bundle with the device scripts that run it, and how one release replaces another on a device.

    HOME/releases/ID/         a bundle with the device scripts; ID is the hash of all files
        SHA256SUMS            checksums of every file
        camera.sh             starts the camera
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

from edgenet.assets import device_files
from edgenet.devices.device import Device, ProgramResult
from edgenet.devices.set_aside import CHANGES, SET_ASIDE, SUMS, SetAside, folders_set_aside
from edgenet.devices.shell import require_success, script, understood
from edgenet.errors import EdgenetError
from edgenet.files import sha256

SCRIPTS = "device_scripts"
"""The folder of the scripts within a release."""
START = "camera.sh"


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
# The service runs this script, and so can a person on the device, with the arguments of camera.py.
_START_TEXT = """#!/bin/sh
here=$(cd -P "$(dirname "$0")" && pwd) &&
exec "$here/environment/bin/python" "$here/device_scripts/camera.py" "$here/{bundle}" "$@"
"""


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
    files = {**script_files(), name: bundle, START: _START_TEXT.replace("{bundle}", name).encode()}
    sums = "".join(f"{sha256(content)}  {path}\n" for path, content in sorted(files.items())).encode()
    identity = hashlib.sha256(sums + (environment or "").encode()).hexdigest()[:16]
    return Release(identity, {**files, SUMS: sums}, name)


def script_files() -> dict[str, Path | bytes]:
    """Return the device scripts, by their path within the release."""
    return {f"{SCRIPTS}/{name}": path for name, path in device_files().items()}


def bundle_in(sums: str) -> str | None:
    """Return the bundle's file name, found in a release's SHA256SUMS; None if it lists no bundle."""
    names = [line.partition("  ")[2] for line in sums.splitlines()]
    return next((name for name in names if "/" not in name and name != START), None)


_WHOLE = """
cd "$1/releases/$2" 2>/dev/null && [ -e verified ] && sha256sum -c SHA256SUMS >/dev/null 2>&1
"""


def is_intact(device: Device, release: str) -> bool:
    """Return whether the release is on the device and verified, with all checksums right."""
    return _run(device, _WHOLE, release).status == 0


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


_COMMIT = f"""{CHANGES}{SET_ASIDE}
cd "$1/incoming-$2" && sha256sum -c SHA256SUMS >/dev/null || exit 1
if [ -n "$3" ]; then ln -sfn "../../environments/$3" environment || exit 1; fi
sync
cd "$1" || exit 1
if [ -e "releases/$2" ]; then
    old=$(readlink "releases/$2/previous") && {{ ln -sfn "$old" "incoming-$2/previous" || exit 1; }}
    changed=$(changes "releases/$2")
    if [ -n "$changed" ]; then set_aside "releases/$2" "$1" "$changed" "$2" || exit 1
    else mv -T "releases/$2" "releases/$2.damaged" || exit 1; fi
fi
mv -T "incoming-$2" "releases/$2" && sync && rm -rf "releases/$2.damaged"
"""


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
    done = _run(device, _COMMIT, release, environment or "")
    require_success(device, "accept the copied files", done)
    return folders_set_aside(done)


_VERIFIED = 'touch "$1/releases/$2/verified" && sync'


def mark_verified(device: Device, release: str) -> None:
    """Record that the release's model has run on the device."""
    require_success(device, "mark the release as verified", _run(device, _VERIFIED, release))


_ACTIVATE = """
cd "$1" && [ -e "releases/$2/verified" ] || exit 1
old=$(readlink current)
[ "$old" = "releases/$2" ] && exit 0
if [ -n "$old" ]; then ln -sfn "../${old#releases/}" "releases/$2/previous" || exit 1; fi
# toybox's mv refuses to replace a link to a folder, but its ln replaces a link by rename(2), as mv -T does.
ln -sfn "releases/$2" current.new && { mv -fT current.new current 2>/dev/null || ln -sfn "releases/$2" current; } &&
    rm -f current.new && [ "$(readlink current)" = "releases/$2" ] && sync
"""


def activate(device: Device, release: str) -> None:
    """Point `current` to the release, in one step.

    Raises:
        EdgenetError: the release is not verified, or the link cannot be changed.
    """
    require_success(device, "activate the release", _run(device, _ACTIVATE, release))


_RUNNING = """
link=$(readlink "$1/current"); echo "${link#releases/}"
link=$(readlink "$1/current/previous"); echo "${link#../}"
"""


def running(device: Device) -> tuple[str | None, str | None]:
    """Return the IDs of the release that `current` points to and of the one that ran before it, or None."""
    with understood(device):
        now, before = _run(device, _RUNNING).out.decode().split("\n")[:2]
    return now or None, before or None


# Kept: the current release, the two before it, the three newest, every release with somebody's own files, and every
# environment that these use.
_PRUNE = """
cd "$1/releases" || exit 1
home=$1
kept=" "
link=$(readlink ../current)
for turn in 1 2 3; do
    link=${link##*/}
    [ -n "$link" ] || break
    kept="$kept$link "
    link=$(readlink "$link/previous")
done
count=0
for release in $(ls -t); do
    count=$((count + 1))
    case "$kept" in *" $release "*) continue ;; esac
    [ $count -gt 3 ] || continue
    changed=$(changes "$release")
    if [ -n "$changed" ]; then set_aside "$release" "$home" "$changed" "$release" || exit 1
    else rm -rf "$release"; fi
done
cd "$1/environments" 2>/dev/null || exit 0
used=" "
for link in ../releases/*/environment ../set-aside/*/environment; do used="$used$(readlink "$link") "; done
case "$used" in *../../environments/*) ;; *) exit 0 ;; esac  # no link was understood: keep them all
for environment in *; do
    case "$used" in *" ../../environments/$environment "*) ;; *) rm -rf "$environment" ;; esac
done
"""


def prune(device: Device) -> tuple[SetAside, ...]:
    """Remove old releases and the environments that only they used; return those that were set aside instead."""
    done = _run(device, f"{CHANGES}{SET_ASIDE}{_PRUNE}")
    require_success(device, "remove old releases", done)
    return folders_set_aside(done)


def _run(device: Device, text: str, *values: str) -> ProgramResult:
    return device.run(script(text, device.home, *values))
