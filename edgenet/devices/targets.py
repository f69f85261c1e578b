"""From the target that the user typed after --on to an open device.

A target is `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb` or `adb:SERIAL`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from edgenet.devices.adb import open_phone
from edgenet.devices.device import Adb, Browser, Device, Local, Ssh, Target
from edgenet.devices.local import LocalDevice
from edgenet.devices.ssh import open_ssh
from edgenet.errors import EdgenetError

_FORMS = "local, browser, ssh:USER@HOST, ssh:USER@HOST:PORT, adb or adb:SERIAL"
# ssh would take a host or user that begins with "-" for an option. The other characters are those allowed in
# names (RFC 1123; names in ~/.ssh/config may also contain "_").
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z0-9]+\])(?::(?P<port>\d{1,5}))?"
)
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]+")


def parse_target(text: str) -> Target:
    """Parse the target that the user typed.

    Raises:
        EdgenetError: the text has none of the forms of a target.
    """
    if text == "local":
        return Local()
    if text == "browser":
        return Browser()
    if text == "adb":
        return Adb()
    kind, _, rest = text.partition(":")
    if kind == "adb" and _SERIAL.fullmatch(rest) and not rest.startswith("-"):
        return Adb(rest)
    if kind == "ssh" and (match := _HOST.fullmatch(rest)):
        port = int(match["port"]) if match["port"] else None
        if port is None or 1 <= port <= 65535:
            return Ssh(match["host"].strip("[]"), match["user"], port)
    raise EdgenetError(f"'{text}' is not a target", f"give {_FORMS}")


@contextmanager
def open_device(text: str) -> Iterator[Device]:
    """Yield the device of a target for the duration of the block, over one shared connection.

    Raises:
        EdgenetError: the target is invalid, a browser, or cannot be reached.
    """
    target = parse_target(text)
    if isinstance(target, Local):
        yield LocalDevice()
    elif isinstance(target, Ssh):
        with open_ssh(target, text) as device:
            yield device
    elif isinstance(target, Adb):
        with open_phone(target, text) as phone:
            yield phone
    else:
        raise EdgenetError(
            "files cannot be copied to a browser", "use edgenet bench or edgenet camera --on browser"
        )


@contextmanager
def open_camera_device(text: str) -> Iterator[Device]:
    """Like `open_device`, for commands that use the device's own camera.

    Raises:
        EdgenetError: the target is a phone (only its browser can use its camera), or see `open_device`.
    """
    if isinstance(parse_target(text), Adb):
        raise EdgenetError(
            "only the phone's browser can use its camera",
            "edgenet camera BUNDLE --on adb shows it live; take photos for training with the phone's camera app",
        )
    with open_device(text) as device:
        yield device
