"""What a device is: the targets that name one, the operations that every device supports, and its facts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent

_TARGET_FORMS = "local, browser, ssh:USER@HOST, ssh:USER@HOST:PORT, adb, adb:SERIAL or FLEET.toml:NAME"
# ssh would take a host or user that begins with "-" for an option. The other characters are those allowed in
# names (RFC 1123; names in ~/.ssh/config may also contain "_").
_HOST = re.compile(
    r"(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.%a-z0-9]+\])(?::(?P<port>\d{1,5}))?"
)
_SERIAL = re.compile(r"[A-Za-z0-9_.:-]+")


class Device(Protocol):
    """A machine that runs models. No shell on the way interprets arguments or paths.

    Every method raises EdgenetError if the device cannot be reached or is disconnected meanwhile. A program
    that fails on the device raises nothing; its exit status reports the failure.

    Attributes:
        name: the target as the user gave it, such as "ssh:pi@raspberrypi.local".
        home: absolute path of edgenet's own folder on the device.
    """

    name: str
    home: str

    def run(
        self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None
    ) -> ProgramResult:
        """Run a program on the device to its end; after `timeout_s`, end it and raise EdgenetError."""
        ...

    def start(self, command: Sequence[str]) -> AbstractContextManager[Running]:
        """Start a program on the device; leaving the block stops it."""
        ...

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copy files into a folder on the device, creating folders as needed; other files there stay.

        Args:
            files: maps each path within the folder (with "/" between parts) to contents or to a file on this
                machine.
            folder: absolute path on the device.
            progress: reports how much has been copied.
        """
        ...

    def pull(self, remote: str) -> bytes:
        """Return the contents of a file on the device."""
        ...

    def forward(self, port: int) -> AbstractContextManager[int]:
        """Forward a port of this machine's 127.0.0.1 to `port` of the device's 127.0.0.1 during the block."""
        ...

    def facts(self) -> DeviceFacts:
        """Return the device's facts, asked once and remembered."""
        ...


class Running(Protocol):
    """A program that is running on a device."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of standard output as they arrive, without line ends."""
        ...

    def stop(self) -> None:
        """End the program on the device with SIGTERM and wait for it; do nothing if it has already ended."""
        ...

    def finish(self) -> ProgramResult:
        """Wait for the program to end. `out` holds the output that `lines` has not yielded yet."""
        ...


@dataclass(frozen=True)
class ProgramResult:
    """The result of a program that has ended on a device.

    Attributes:
        status: its exit status; 128 + n if signal n ended it.
        out: its standard output.
        err: its standard error.
    """

    status: int
    out: bytes
    err: bytes

    def last_line(self) -> str:
        """Return the last line of standard error (or else output), where programs say why they failed."""
        lines = (
            self.err.decode(errors="replace").strip() or self.out.decode(errors="replace").strip()
        ).splitlines()
        return lines[-1] if lines else f"exit status {self.status}"


@dataclass(frozen=True)
class DeviceFacts:
    """Hardware and software of a device; None for facts that it does not report.

    Attributes:
        machine: the output of `uname -m`, such as aarch64, armv7l or x86_64 (a 64-bit kernel may run 32-bit
            programs).
        userland: the architecture of its programs: aarch64, armv7l or x86_64.
        system: the operating system's name, such as "Debian GNU/Linux 12 (bookworm)" or "Android 14".
        model: the board or phone, such as "Raspberry Pi 5 Model B Rev 1.0".
        python: version of its python3, such as (3, 11, 2).
        camera_stack: the camera interfaces it has, out of "picamera2" and "v4l2".
        free_bytes: free space, in bytes, where edgenet installs.
    """

    machine: str
    userland: str
    system: str | None
    model: str | None
    python: tuple[int, int, int] | None
    camera_stack: tuple[str, ...]
    free_bytes: int | None

    @property
    def is_phone(self) -> bool:
        """Whether it is an Android phone."""
        return (self.system or "").startswith("Android")


@dataclass(frozen=True)
class Local:
    """This machine as a target."""


@dataclass(frozen=True)
class Browser:
    """A browser on this machine as a target: it opens pages, and files cannot be copied to it."""


@dataclass(frozen=True)
class Ssh:
    """A machine reached by OpenSSH; if user or port is None, the user's ssh configuration decides.

    `options` are options of ssh_config(5) that a fleet file sets for it.
    """

    host: str
    user: str | None = None
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Adb:
    """A phone reached by adb; serial is None for ANDROID_SERIAL's or the only attached phone."""

    serial: str | None = None


Target = Local | Browser | Ssh | Adb


class UnreachableError(EdgenetError):
    """The device cannot be reached, or no longer: nothing is known about what runs there."""


def read_target(text: str) -> Target:
    """Parse the text after --on that names one device by its address.

    It is `local`, `browser`, `ssh:[USER@]HOST[:PORT]`, `adb` or `adb:SERIAL`.

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
    raise EdgenetError(f"'{text}' is not a target", f"give {_TARGET_FORMS}")
