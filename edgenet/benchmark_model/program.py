"""The program that the user gives: what it is, where it can run, and how it comes to a device once."""

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
    """A benchmark_model.

    Attributes:
        path: on this machine.
        machine: what it was built for, as `uname -m` says.
        sha256: of the file.
        size_bytes: of the file.
    """

    path: Path
    machine: str
    sha256: str
    size_bytes: int

    def facts(self) -> dict[str, str | int]:
        """For the report."""
        return {"file": self.path.name, "sha256": self.sha256, "size_bytes": self.size_bytes}


def read_program(path: Path) -> BenchmarkProgram:
    """Looks at the file.

    Raises:
        EdgenetError: there is none, or it is no program for Linux or Android.
    """
    return BenchmarkProgram(path, program_machine(path), sha256(path), path.stat().st_size)


def check_fits(program: BenchmarkProgram, device: Device) -> None:
    """Refuses a program for another kind of machine.

    Raises:
        EdgenetError: says what was found and what is needed.
    """
    facts = device.facts()
    # Whether a 64-bit Arm still runs 32-bit programs only it knows.
    if program.machine == facts.userland or (program.machine, facts.machine) == ("armv7l", "aarch64"):
        return
    raise EdgenetError(
        f"{program.path} is for {program.machine}, and {device.name} is {facts.userland}",
        f"give a {NAME} that was built for {facts.userland}",
    )


def place_program(program: BenchmarkProgram, device: Device, progress: Progress) -> str:
    """Its path there. It is copied unless the same one lies there; on this machine it runs from where it is.

    Raises:
        EdgenetError: the device cannot take it.
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
                f"what arrived of {program.path.name} on {device.name} is another file", "do the same again"
            )
    return f"{folder}/{name}"
