"""What the virtual phone lacks: the output of `dumpsys thermalservice` (AOSP, ThermalManagerService), and cpufreq."""

from __future__ import annotations

import struct
from pathlib import Path

LOGS = Path(__file__).parent / "latency" / "benchmark_model"
SCRIPT, GIVEN = "/vendor/benchmark_model.sh", "/data/local/tmp/given"
_TEXT = f"""
echo "$@" >>{GIVEN}
case "$*" in *--graph=*) ;; *) echo "ERROR: no graph" >&2; exit 1 ;; esac
cat /vendor/run.txt
case "$*" in *--enable_op_profiling=true*) cat /vendor/operators.txt ;; esac
"""

THERMALSERVICE = """IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=0, mName=CPU0, mStatus=0}}
HAL Ready: true
HAL connection:
\tThermalHAL AIDL 1  connected: yes
Current temperatures from HAL:
\tTemperature{{mValue=41.3, mType=0, mName=CPU0, mStatus=0}}
\tTemperature{{mValue=36.9, mType=3, mName=VIRTUAL-SKIN, mStatus=1}}
\tTemperature{{mValue=NaN, mType=1, mName=GPU0, mStatus=0}}
Current cooling devices from HAL:
\tCoolingDevice{{mValue=0, mType=2, mName=thermal-cpufreq-0}}
"""


def two_clusters(folder: Path) -> Path:
    """cpufreq's files, in a folder that the phone's user may read: CPU 1 is faster than CPU 0."""
    for name, cpu, fastest in (("policy0", 0, 1_800_000), ("policy1", 1, 2_800_000)):
        (folder / name).mkdir()
        (folder / name / "related_cpus").write_text(f"{cpu}\n")
        (folder / name / "cpuinfo_max_freq").write_text(f"{fastest}\n")
    folder.chmod(0o755)
    return folder


def vendor_programs(folder: Path, **programs: str) -> Path:
    """A folder for PHONE_VENDOR with shell scripts in its bin/, stand-ins for programs of Android."""
    (folder / "bin").mkdir()
    for name, text in programs.items():
        (folder / "bin" / name).write_text(f"#!/system/bin/sh\n{text}\n")
        (folder / "bin" / name).chmod(0o755)
    folder.chmod(0o755)
    return folder


def dumpsys(status: int) -> str:
    """A script for `vendor_programs` that tells this thermal status."""
    return f"[ \"$1\" != thermalservice ] || cat <<'END'\n{THERMALSERVICE.format(status=status)}END"


def stand_in(vendor: Path) -> bytes:
    """A stand-in for benchmark_model, as a program to push: a real arm64 ELF file.

    It starts a script in `vendor`, which keeps its arguments and prints what the real one prints.
    """
    (vendor / Path(SCRIPT).name).write_text(_TEXT)
    for name in ("run.txt", "operators.txt"):
        (vendor / name).write_text((LOGS / name).read_text())
    return starter(SCRIPT)


def starter(script: str, machine: int = 183) -> bytes:
    """An ELF program of 64 bits (aarch64: 183) that becomes `/system/bin/sh SCRIPT` with its own arguments."""
    shell, path = b"/system/bin/sh\0", script.encode() + b"\0"
    # The stack holds argc, argv[0], argv[1] ...: "sh" takes the place of argc, the script that of argv[0].
    code = 13
    to_shell, to_path = 4 * (code - 2), 4 * (code - 4) + len(shell)
    words = (
        0xF94003E3,  # ldr x3, [sp]
        0x910003E9,  # mov x9, sp
        _adr(0, to_shell),
        0xF9000120,  # str x0, [x9]
        _adr(1, to_path),
        0xF9000521,  # str x1, [x9, #8]
        0x8B030D22,  # add x2, x9, x3, lsl #3
        0x91004042,  # add x2, x2, #16: the environment
        0xAA0903E1,  # mov x1, x9
        0xD2801BA8,  # mov x8, #221: execve
        0xD4000001,  # svc #0
        0xD2800BA8,  # mov x8, #93: exit
        0xD4000001,
    )
    body = struct.pack(f"<{code}I", *words) + shell + path
    base, start = 0x400000, 64 + 56
    size = start + len(body)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, machine, 1, base + start, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000) + body


def _adr(register: int, distance: int) -> int:
    return 0x10000000 | (distance & 3) << 29 | (distance >> 2) << 5 | register
