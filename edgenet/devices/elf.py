"""Reading a program's target architecture from its ELF header (System V ABI, "ELF Header")."""

from __future__ import annotations

import struct
from pathlib import Path

from edgenet.errors import EdgenetError

_MACHINES = {3: "i686", 40: "armv7l", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
_PROGRAMS = (2, 3)  # ET_EXEC and ET_DYN: linkers produce programs of either type


def program_machine(path: Path) -> str:
    """Return the architecture that a program was built for, named as in `DeviceFacts.userland`.

    Raises:
        EdgenetError: the file cannot be read, or is not a program for Linux or Android.
    """
    try:
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise EdgenetError(f"cannot read the program {path}: {error.strerror}", "check the path") from None
    order = "<" if head[5:6] == b"\1" else ">"
    kind, number = struct.unpack_from(f"{order}HH", head, 16) if len(head) == 20 else (0, 0)
    if head[:4] != b"\x7fELF" or kind not in _PROGRAMS:
        what = (
            "it does not begin as ELF files do"
            if head[:4] != b"\x7fELF"
            else "it is another kind of ELF file"
        )
        raise EdgenetError(
            f"{path} is not a program for Linux or Android: {what}", "give the program file itself, unpacked"
        )
    return _MACHINES.get(number, f"machine {number}")
