"""What a program file is for: its ELF header (System V ABI, "ELF Header")."""

from __future__ import annotations

import struct
from pathlib import Path

from edgenet.errors import EdgenetError

_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64"}


def program_machine(path: Path) -> str:
    """The architecture that a program is for, as `DeviceFacts.userland` names it.

    Raises:
        EdgenetError: it cannot be read, or is no program for Linux or Android.
    """
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise EdgenetError(f"cannot read the program {path}: {error.strerror}", "check the path") from None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        raise EdgenetError(
            f"{path} is no program for Linux or Android: it does not begin as ELF files do",
            "give the program itself, unpacked",
        )
    (number,) = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)
    return _MACHINES.get(number, f"machine {number}")
