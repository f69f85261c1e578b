"""What the user types after --to and --on: `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb` or `adb:SERIAL`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgenet.errors import EdgenetError

FORMS = "local, browser, ssh:USER@HOST, ssh:USER@HOST:PORT, adb or adb:SERIAL"
# A host or a user that began with "-" would be an option of ssh's; the rest is what names may consist of
# (RFC 1123; a name of ~/.ssh/config may have "_").
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z0-9]+\])(?::(?P<port>\d{1,5}))?"
)
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True)
class Local:
    """This machine."""


@dataclass(frozen=True)
class Browser:
    """A browser of this machine: it runs pages, and nothing can be copied to it."""


@dataclass(frozen=True)
class Ssh:
    """A machine behind OpenSSH; user and port are None where the user's own configuration has them."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Adb:
    """A phone behind adb; serial is None for the only one."""

    serial: str | None = None


Target = Local | Browser | Ssh | Adb


def parse_target(text: str) -> Target:
    """The target that the user typed.

    Raises:
        EdgenetError: it has none of the forms.
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
    raise EdgenetError(f"'{text}' is not a target", f"give {FORMS}")
