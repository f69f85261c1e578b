"""Photos that a device has kept to learn from: found there, brought over with their checksums, and removed there."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgenet_device.field.photo_facts import PHOTO_NAME
from edgenet_device.live.field_output import FOLDER

from edgenet.devices.device import Device
from edgenet.devices.shell import require_success, script
from edgenet.errors import EdgenetError, one_line

BATCH = 32
"""Photos that are brought over at a time: an interruption loses at most so many."""
LARGEST_PHOTO = 1 << 26
_SUM = re.compile(r"([0-9a-f]{64}) [ *](.+)")

# $1: the folder that the service's options name, or ""; $2: its name within a state folder. A user's state folder is
# ~/.config/edgenet for systemd 253 and older. Each folder comes once, although one may be a link to another.
_FIND = """
state=${XDG_STATE_HOME:-$HOME/.local/state}
seen=
for folder in "$1" "$state/edgenet/$2" "${XDG_CONFIG_HOME:-$HOME/.config}/edgenet/$2" "/var/lib/edgenet/$2"; do
    [ -n "$folder" ] && [ -d "$folder" ] || continue
    cd "$folder" 2>/dev/null && ls >/dev/null 2>&1 || { echo "locked=$folder"; continue; }
    here=$(pwd -P)
    case "$seen" in *"|$here|"*) continue ;; esac
    seen="$seen|$here|"
    echo "folder=$here"
    for file in field-*.jpg; do [ ! -f "$file" ] || [ -L "$file" ] || echo "file=$file"; done
done
exit 0
"""


@dataclass(frozen=True)
class PhotoFolder:
    """A folder of kept photos on a device.

    Attributes:
        path: its absolute path there.
        names: the names of the photos, sorted.
    """

    path: str
    names: tuple[str, ...]


def find_photos(
    device: Device, given: str | None = None, in_state: str = FOLDER
) -> tuple[list[PhotoFolder], list[str]]:
    """Return the folders of kept photos on a device, and those that exist and cannot be read.

    Args:
        device: the device.
        given: a folder there, absolute or from its user's home; None for the state folders alone.
        in_state: the folder's name within a state folder.
    """
    # A relative one must not look like an option of `cd`.
    first = "" if given is None else given if given.startswith("/") else f"./{given}"
    done = device.run(script(_FIND, first, in_state))
    require_success(device, "look for kept photos", done)
    found: dict[str, list[str]] = {}
    locked = []
    for line in done.out.decode(errors="surrogateescape").split("\n"):
        word, _, value = line.partition("=")
        if word == "folder":
            found[value] = []
        elif word == "locked":
            locked.append(value)
        elif word == "file" and found and PHOTO_NAME.fullmatch(value):
            found[list(found)[-1]].append(value)
    return [PhotoFolder(path, tuple(sorted(names))) for path, names in found.items()], locked


_CHECKSUMS = 'cd "$1" && shift && exec sha256sum "$@"'
_PACK = 'cd "$1" && shift && exec tar -cf - "$@"'


@dataclass(frozen=True)
class BroughtPhoto:
    """A photo as it has arrived.

    Attributes:
        name: its name.
        data: its bytes.
        sha256: their SHA-256, which the device has computed of its own copy, too.
    """

    name: str
    data: bytes
    sha256: str


def bring_photos(device: Device, folder: str, names: Sequence[str]) -> Iterator[BroughtPhoto]:
    """Yield photos of a folder on a device whose checksums agree; those that are gone or have changed are left out.

    Raises:
        EdgenetError: the device is lost.
    """
    for start in range(0, len(names), BATCH):
        some = names[start : start + BATCH]
        # Neither program's exit status counts: a photo that is gone meanwhile is no reason to leave the others.
        sums = read_sums(device.run(script(_CHECKSUMS, folder, *some)).out)
        packed = device.run(script(_PACK, folder, *some)).out
        for name, data in unpacked(packed, some):
            sha256 = hashlib.sha256(data).hexdigest()
            if sums.get(name) == sha256:
                yield BroughtPhoto(name, data, sha256)


def read_sums(out: bytes) -> dict[str, str]:
    """Return the SHA-256 of each file, from what sha256sum prints."""
    lines = map(_SUM.fullmatch, out.decode(errors="replace").splitlines())
    return {line[2]: line[1] for line in lines if line}


def unpacked(packed: bytes, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the bytes of each wanted file of a tar; nothing else in it is looked at.

    A tar that ends early gives what is whole in it.
    """
    wanted = set(names)
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
            for member in archive:
                if member.name in wanted and member.isreg() and member.size <= LARGEST_PHOTO:
                    wanted.discard(member.name)
                    file = archive.extractfile(member)
                    data = b"" if file is None else file.read()
                    if len(data) == member.size:
                        yield member.name, data
    # tarfile raises ValueError and others for some damaged headers.
    except (tarfile.TarError, EOFError, OSError, ValueError, OverflowError, MemoryError):
        return


# $1: the folder; then the checksum and the name of each photo.
_REMOVE = """
cd "$1" && shift || exit 1
while [ $# -ge 2 ]; do
    sum=$(sha256sum <"$2" 2>/dev/null) && [ "${sum%% *}" = "$1" ] && rm -f -- "$2" && [ ! -e "$2" ] && echo "$2"
    shift 2
done
exit 0
"""


def remove_photos(device: Device, folder: str, sums: dict[str, str]) -> int:
    """Remove photos on a device whose contents there still have these checksums; return how many were removed.

    Args:
        device: the device.
        folder: their folder there.
        sums: the SHA-256 of each by its name.

    Raises:
        EdgenetError: the device is lost, or the folder is gone.
    """
    removed = 0
    pairs = list(sums.items())
    for start in range(0, len(pairs), BATCH):
        words = [word for name, sha256 in pairs[start : start + BATCH] for word in (sha256, name)]
        done = device.run(script(_REMOVE, folder, *words))
        if done.status:
            raise EdgenetError(
                f"cannot remove photos on {device.name}: {one_line(done.last_line())}", "try again"
            )
        removed += len(done.out.split())
    return removed
