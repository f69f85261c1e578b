"""What every device can do, whatever leads to it: OpenSSH, adb, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgenet.progress import Progress, silent


@dataclass(frozen=True)
class Finished:
    """A program that has ended there.

    Attributes:
        status: its exit status; 128 + n where signal n ended it.
        out: what it wrote to standard output.
        err: what it wrote to standard error.
    """

    status: int
    out: bytes
    err: bytes

    def last_words(self) -> str:
        """The last line of its standard error (or output): where programs say why they failed."""
        lines = (
            self.err.decode(errors="replace").strip() or self.out.decode(errors="replace").strip()
        ).splitlines()
        return lines[-1] if lines else f"exit status {self.status}"


class Running(Protocol):
    """A program that still runs there."""

    def lines(self) -> Iterator[str]:
        """Its standard output, line by line as it comes, without line ends."""
        ...

    def stop(self) -> None:
        """Ends it as SIGTERM does, also on the device, and waits for that; nothing to do where it has ended."""
        ...

    def finish(self) -> Finished:
        """Waits for its end. `out` holds what `lines` has not given yet."""
        ...


@dataclass(frozen=True)
class DeviceFacts:
    """What the machine at the other end is; None for what it does not tell.

    Attributes:
        machine: as `uname -m` says, such as aarch64, armv7l or x86_64 (a 64-bit kernel may run 32-bit programs).
        userland: the architecture of its programs: aarch64, armv7l or x86_64.
        system: the system's own name of itself, such as "Debian GNU/Linux 12 (bookworm)" or "Android 14".
        model: such as "Raspberry Pi 5 Model B Rev 1.0".
        python: version of its python3, such as (3, 11, 2).
        camera_stack: what it has for cameras, of "picamera2" and "v4l2".
        free_bytes: space left where edgenet installs.
    """

    machine: str
    userland: str
    system: str | None
    model: str | None
    python: tuple[int, int, int] | None
    camera_stack: tuple[str, ...]
    free_bytes: int | None


class Device(Protocol):
    """A machine that models go to, as few verbs. Arguments and paths are never read by a shell on the way.

    Every method raises EdgenetError where the device cannot be reached, or is lost meanwhile; that a program there
    fails is no error here, its status says so.

    Attributes:
        name: the target as the user gave it, such as "ssh:pi@raspberrypi.local".
        home: absolute path, on the device, of the folder that is edgenet's there.
    """

    name: str
    home: str

    def run(self, command: Sequence[str], stdin: bytes = b"", timeout_s: float | None = None) -> Finished:
        """Runs a program there to its end. A timeout ends it and is an EdgenetError."""
        ...

    def start(self, command: Sequence[str]) -> AbstractContextManager[Running]:
        """Starts a program there; leaving the block stops it."""
        ...

    def push(self, files: Mapping[str, Path | bytes], folder: str, progress: Progress = silent) -> None:
        """Copies files into a folder there, which is made, along with folders within it; what it holds already stays.

        Args:
            files: contents, or files of this machine, by their path within the folder ("/" between its parts).
            folder: absolute path on the device.
        """
        ...

    def pull(self, remote: str) -> bytes:
        """The contents of a file there."""
        ...

    def forward(self, port: int) -> AbstractContextManager[int]:
        """A port of this machine's 127.0.0.1 that leads to that port of the device's 127.0.0.1, within the block."""
        ...

    def facts(self) -> DeviceFacts:
        """What the machine is; asked once and remembered."""
        ...
