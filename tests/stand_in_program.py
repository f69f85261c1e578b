"""A stand-in for a program that cannot be built here: an ELF file whose few instructions start a shell script.

The test chooses its output, and the ELF header names its machine; it takes the real program's place in tests.
"""

from __future__ import annotations

import platform
import struct

_ADDRESS = 0x400000
_HEADERS = 64 + 56
_MACHINES = {"x86_64": 62, "aarch64": 183}
_SHELL = b"/bin/sh\0-c\0"


def stand_in(script: str, machine: str = platform.machine()) -> bytes:
    """Return a static program that runs `script` in /bin/sh: $0 is its own name, $1 and so on are its arguments.

    It writes "/bin/sh", "-c" and the script before its own arguments on the stack, and calls execve(2) on that.
    """
    code = _code(machine, 0)
    start = _ADDRESS + _HEADERS
    code = _code(machine, start + len(code))
    image = code + _SHELL + script.encode() + b"\0"
    elf = struct.pack(
        "<4sBBBB8xHHIQQQIHHHHHH",
        b"\x7fELF",
        2,
        1,
        1,
        0,
        2,
        _MACHINES[machine],
        1,
        start,
        64,
        0,
        0,
        64,
        56,
        1,
        0,
        0,
        0,
    )
    size = _HEADERS + len(image)
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _ADDRESS, _ADDRESS, size, size, 0x1000)
    return elf + load + image


def _code(machine: str, strings: int) -> bytes:
    """Return the instructions; their strings are at an address right behind them."""
    shell, option, text = strings, strings + len(b"/bin/sh\0"), strings + len(_SHELL)
    if machine == "x86_64":
        return b"".join(
            (
                b"\x48\x8b\x04\x24",  # mov rax, [rsp]: the number of arguments
                b"\x48\x8d\x54\xc4\x10",  # lea rdx, [rsp + rax*8 + 16]: the environment
                b"\x48\xb9" + struct.pack("<Q", shell) + b"\x48\x89\x4c\x24\xf0",  # [rsp - 16]
                b"\x48\xb9" + struct.pack("<Q", option) + b"\x48\x89\x4c\x24\xf8",  # [rsp - 8]
                b"\x48\xb9" + struct.pack("<Q", text) + b"\x48\x89\x0c\x24",  # [rsp]
                b"\x48\xbf" + struct.pack("<Q", shell),  # mov rdi
                b"\x48\x8d\x74\x24\xf0",  # lea rsi, [rsp - 16]
                b"\xb8\x3b\x00\x00\x00\x0f\x05",  # execve
            )
        )
    words = [
        0xF94003E9,  # ldr x9, [sp]: the number of arguments
        0x8B296FE2,  # add x2, sp, x9, lsl 3
        0x91004042,  # add x2, x2, 16: the environment
        0xD10043E1,  # sub x1, sp, 16
    ]
    here = strings - 4 * 11
    for register, target in ((0, shell), (10, option), (11, text)):
        words.append(_adr(register, target - (here + 4 * len(words))))
    words += [
        0xA9002820,  # stp x0, x10, [x1]
        0xF900082B,  # str x11, [x1, 16]
        0xD2801BA8,  # mov x8, 221: execve
        0xD4000001,  # svc 0
    ]
    return struct.pack(f"<{len(words)}I", *words)


def _adr(register: int, distance: int) -> int:
    """Return adr, which computes an address `offset` bytes from here (Arm ARM, C6.2)."""
    distance &= 0x1FFFFF
    return 0x10000000 | (distance & 3) << 29 | (distance >> 2) << 5 | register
