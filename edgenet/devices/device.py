"""The operations that every device supports: this machine, or one reached by OpenSSH or adb."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edgenet.errors import EdgenetError
from edgenet.progress import Progress, silent


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

    def last_words(self) -> str:
        """Return the last line of standard error (or else output), where programs say why they failed."""
        lines = (
            self.err.decode(errors="replace").strip() or self.out.decode(errors="replace").strip()
        ).splitlines()
        return lines[-1] if lines else f"exit status {self.status}"


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


# ==== edgenet.devices.posix
# Commands for a device's POSIX shell: fixed sh(1) scripts that get values only as positional parameters.
#
# They run in dash, bash, and Android's mksh and toybox.

# If signal n ends the program, the shell reports 128 + n; ssh itself would report 255, as for a lost
# connection.
_TOLD = '"$@"; exit $?'
# The program gets SIGTERM as soon as our end of its standard input closes: because we stopped it, or this
# process ended, or the connection broke. The watcher closes its copies of our streams before it sleeps,
# because Android's shell kills it only after the sleep, and adbd waits until all streams are closed. The
# watcher is ended with SIGKILL, because adbd waits as long as it lives and qemu has lost a SIGTERM sent while
# the watcher was starting.
_WATCHED = """
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
( exec </dev/null >/dev/null 2>&1
  while read -r _ <&3; do :; done; kill -TERM $child; exec 3<&-; sleep 10; kill -KILL $child ) &
watcher=$!
wait $child
status=$?
exec 2>/dev/null  # otherwise bash prints that the watcher was killed
kill -KILL $watcher
exit $status
"""


def script(text: str, *values: str) -> tuple[str, ...]:
    """Return the command that runs a shell script; `values` become $1, $2 and so on in it."""
    return ("sh", "-c", text, "sh", *values)


def report_signals(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command so that its exit status also reports signals, as 128 + the signal's number."""
    return script(_TOLD, *command)


def kill_with_caller(command: Sequence[str]) -> tuple[str, ...]:
    """Wrap a command to get SIGTERM when our end of its input closes, and SIGKILL ten seconds later."""
    return script(_WATCHED, *command)


# ==== edgenet.devices.posix_facts
# Asking a device for its facts through its POSIX shell, with one command.

# Prints one "name=value" per line and leaves out unknown facts. Starting Python's interpreter would take
# longer than all the rest together, so python3 is only asked for its version.
_ASK = r"""
echo "machine=$(uname -m)"
echo "bits=$(getconf LONG_BIT 2>/dev/null)"
[ -r /etc/os-release ] && ( . /etc/os-release; echo "system=$PRETTY_NAME" )
android=$(getprop ro.build.version.release 2>/dev/null) && echo "system=Android $android"
[ -r /proc/device-tree/model ] && echo "model=$(tr -d '\000' </proc/device-tree/model)"
abis=$(getprop ro.product.cpu.abilist 2>/dev/null) && echo "abis=$abis"
model=$(getprop ro.product.model 2>/dev/null) && echo "model=$model"
ls /dev/video* >/dev/null 2>&1 && echo "camera=v4l2"
folder=$1
while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
df -Pk "$folder" | { read -r _; read -r _ _ _ free _; echo "free_kib=$free"; }
python=$(python3 -V 2>/dev/null) && echo "python=${python#Python }"
for folder in /usr/lib/python3 /usr/local/lib/python3.* "$HOME"/.local/lib/python3.*; do
    ls -d "$folder"/*-packages/picamera2 >/dev/null 2>&1 && echo "camera=picamera2"
done
exit 0
"""
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class _Runs(Protocol):
    name: str
    home: str

    def run(self, command: tuple[str, ...], /) -> ProgramResult: ...


def facts_of(device: _Runs) -> DeviceFacts:
    """Ask a device for its facts.

    Raises:
        EdgenetError: the device lacks a POSIX shell or uname.
    """
    done = device.run(script(_ASK, device.home))
    told = [
        line.partition("=")[::2] for line in done.out.decode(errors="replace").splitlines() if "=" in line
    ]
    found = dict(told)
    machine = found.get("machine")
    if done.status or not machine:
        raise EdgenetError(
            f"cannot identify {device.name}: {done.last_words()}", "use a Linux machine or an Android phone"
        )
    python = _VERSION.match(found.get("python", ""))
    free = found.get("free_kib", "")
    return DeviceFacts(
        machine=machine,
        userland=_userland(machine, found.get("bits"), found.get("abis")),
        system=found.get("system") or None,
        model=found.get("model") or None,
        python=(int(python[1]), int(python[2]), int(python[3])) if python else None,
        camera_stack=tuple(sorted({value for name, value in told if name == "camera"})),
        free_bytes=int(free) * 1024 if free.isdigit() else None,
    )


def _userland(machine: str, bits: str | None, abis: str | None) -> str:
    """Return the programs' architecture, which may differ from the kernel's.

    The 32-bit Raspberry Pi OS and some cheap phones have a 64-bit kernel; a phone lists the ABIs it supports.
    """
    if machine in ("aarch64", "armv8l") and (bits == "32" or (abis and "arm64-v8a" not in abis)):
        return "armv7l"
    return machine
