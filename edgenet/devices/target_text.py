"""The text after --on that names one device: `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb` or `adb:SERIAL`."""

from __future__ import annotations

import re

from edgenet.devices.device import Adb, Browser, Local, Ssh, Target
from edgenet.errors import EdgenetError

_FORMS = "local, browser, ssh:USER@HOST, ssh:USER@HOST:PORT, adb, adb:SERIAL or FLEET.toml:NAME"
# ssh would take a host or user that begins with "-" for an option. The other characters are those allowed in
# names (RFC 1123; names in ~/.ssh/config may also contain "_").
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z0-9]+\])(?::(?P<port>\d{1,5}))?"
)
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]+")


def read_target(text: str) -> Target:
    """Parse the text that names one device by its address.

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
