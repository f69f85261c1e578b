"""Values of --to and --on: `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb` or `adb:SERIAL`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgenet.errors import EdgenetError

FORMS = "local, browser, ssh:USER@HOST, ssh:USER@HOST:PORT, adb or adb:SERIAL"
# ssh would take a host or user that begins with "-" for an option. The other characters are those allowed in
# names (RFC 1123; names in ~/.ssh/config may also contain "_").
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z0-9]+\])(?::(?P<port>\d{1,5}))?"
)
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]+")


@dataclass(frozen=True)
class Local:
    """This machine."""


@dataclass(frozen=True)
class Browser:
    """A browser on this machine: it opens pages, and files cannot be copied to it."""


@dataclass(frozen=True)
class Ssh:
    """A machine reached by OpenSSH; if user or port is None, the user's ssh configuration decides."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True)
class Adb:
    """A phone reached by adb; serial is None for ANDROID_SERIAL's or the only attached phone."""

    serial: str | None = None


Target = Local | Browser | Ssh | Adb


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
    raise EdgenetError(f"'{text}' is not a target", f"give {FORMS}")
