"""The user's benchmark_model program: inspecting it, checking that it fits a device, copying it there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenet.devices.device import Device
from edgenet.devices.elf import program_machine
from edgenet.devices.local import LocalDevice
from edgenet.devices.posix import script
from edgenet.errors import EdgenetError
from edgenet.files import sha256
from edgenet.progress import Progress

NAME = "benchmark_model"

_CHECK = 'cd "$1" && echo "$2  $3" | sha256sum -c >/dev/null 2>&1 && chmod 755 "$3"'


@dataclass(frozen=True)
class BenchmarkProgram:
    """A benchmark_model program.

    Attributes:
        path: the file on this machine.
        machine: the architecture it was built for, named as `uname -m` does.
        sha256: the file's SHA-256.
        size_bytes: the file's size.
    """

    path: Path
    machine: str
    sha256: str
    size_bytes: int

    def facts(self) -> dict[str, str | int]:
        """Return the program's entry in the report."""
        return {"file": self.path.name, "sha256": self.sha256, "size_bytes": self.size_bytes}


def read_program(path: Path) -> BenchmarkProgram:
    """Inspect a program file.

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    return BenchmarkProgram(path, program_machine(path), sha256(path), path.stat().st_size)


def check_fits(program: BenchmarkProgram, device: Device) -> None:
    """Check that a program was built for the device's architecture.

    Raises:
        EdgenetError: it was not; the message says what it was built for and what is needed.
    """
    facts = device.facts()
    # A 64-bit Arm may or may not run 32-bit programs; only starting one shows it, so we allow the attempt.
    if program.machine == facts.userland or (program.machine, facts.machine) == ("armv7l", "aarch64"):
        return
    raise EdgenetError(
        f"{program.path} is for {program.machine}, and {device.name} is {facts.userland}",
        f"give a {NAME} that was built for {facts.userland}",
    )


def place_program(program: BenchmarkProgram, device: Device, progress: Progress) -> str:
    """Copy the program to the device, unless the same file is already there, and return its path.

    On this machine the program runs from its present path.

    Raises:
        EdgenetError: the program cannot be copied, or the copy has a wrong checksum.
    """
    if isinstance(device, LocalDevice):
        return str(program.path.resolve())
    folder, name = f"{device.home}/tools/{program.sha256[:16]}", f"bin/{NAME}"
    check = script(_CHECK, folder, program.sha256, name)
    if device.run(check).status:
        device.push({name: program.path}, folder, progress)
        progress("verify", 0, None)
        if device.run(check).status:
            raise EdgenetError(
                f"the copy of {program.path.name} on {device.name} has a wrong checksum",
                "run the same command again",
            )
    return f"{folder}/{name}"
