"""A camera's URL with a password on its way to a device: in a file of the user's own, and never on a command line.

All users of a machine can read its list of processes and its units. The scripts on the device take "@FILE" for what
that file holds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from edgenet_device.source_text import has_secret, read_source

from edgenet.devices.device import Device
from edgenet.devices.local import LocalDevice
from edgenet.devices.shell import require_success, script
from edgenet.errors import EdgenetError

# $1: the file, $2: whether there is something to keep. The text comes through standard input, which only its two ends
# see.
_KEEP = """
mkdir -p "${1%/*}" && umask 077 || exit 1
if [ -n "$2" ]; then cat >"$1.new" && sync && mv -f "$1.new" "$1"; else rm -f "$1"; fi
"""
_WHAT = "keep the camera's URL"


def keep_source(device: Device, source: str, path: str) -> str:
    """Return how a service names its source: "@FILE" if the source holds a password, which is written to `path`.

    A file that an earlier source has left there is removed.

    Raises:
        EdgenetError: the device cannot write the file.
    """
    secret = has_secret(source)
    keep_private(device, _WHAT, path, os.fsencode(source) if secret else None)
    return f"@{path}" if secret else source


def keep_private(device: Device, what: str, path: str, contents: bytes | None) -> None:
    """Write a file on the device that only its user can read, whole or not at all; None removes it.

    Args:
        device: the device.
        what: what this is for, to follow "cannot" in a message.
        path: the file's absolute path on the device.
        contents: what it shall hold.

    Raises:
        EdgenetError: the device cannot write the file.
    """
    done = device.run(script(_KEEP, path, "" if contents is None else "yes"), stdin=contents or b"")
    require_success(device, what, done)


# The file lies in memory where the device has such a folder for each user; mktemp makes it with mode 0600.
_KEEP_FOR_NOW = (
    'f=$(mktemp "${XDG_RUNTIME_DIR:-${TMPDIR:-/tmp}}/edgenet-XXXXXX") && cat >"$f" && printf %s "$f"'
)


@contextmanager
def private_source(device: Device, given: str) -> Iterator[str]:
    """Yield how a program on the device names a source during the block; see `keep_source`.

    Args:
        device: the device.
        given: the source, or "@FILE" with a file on this machine.

    Raises:
        EdgenetError: the file cannot be read, or the device cannot write one.
    """
    source = read_source(given)
    # On this machine the user's own command line or file says the same already.
    if isinstance(device, LocalDevice) or not has_secret(source):
        yield given if isinstance(device, LocalDevice) else source
        return
    kept = device.run(script(_KEEP_FOR_NOW), stdin=os.fsencode(source))
    require_success(device, _WHAT, kept)
    path = os.fsdecode(kept.out)
    try:
        yield f"@{path}"
    finally:
        with suppress(EdgenetError):  # the connection is lost
            device.run(["rm", "-f", path])
