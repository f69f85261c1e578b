"""`bench --on adb --benchmark-model`: how the program is brought, started and read, on the virtual phone.

Nobody publishes a benchmark_model that runs there (Android's needs bionic), so it is a stand-in: a real arm64 ELF file
that starts a script on the phone, which keeps its arguments and prints what the real one prints.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from phone_parts import dumpsys, two_clusters, vendor_programs
from virtual_devices import Inside, running_phone

pytestmark = pytest.mark.slow
LOGS = Path(__file__).parents[1] / "latency" / "benchmark_model"
SCRIPT = "/vendor/benchmark_model.sh"
GIVEN = "/data/local/tmp/given"
TEXT = f"""
echo "$@" >>{GIVEN}
case "$*" in *--graph=*) ;; *) echo "ERROR: no graph" >&2; exit 1 ;; esac
cat /vendor/run.txt
case "$*" in *--enable_op_profiling=true*) cat /vendor/operators.txt ;; esac
"""


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


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A hot phone with two clusters of CPUs, and what the stand-in starts."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), dumpsys=dumpsys(3))
    (vendor / Path(SCRIPT).name).write_text(TEXT)
    for name in ("run.txt", "operators.txt"):
        (vendor / name).write_text((LOGS / name).read_text())
    cpufreq = two_clusters(tmp_path_factory.mktemp("cpufreq"))
    with running_phone(PHONE_VENDOR=str(vendor), PHONE_CPUFREQ=str(cpufreq)) as inside:
        yield inside


def bench(phone: Inside, *arguments: object) -> tuple[int, str]:
    """Status and what it said."""
    command = ["-m", "edgenet", "bench", *map(str, arguments), "--on", "adb"]
    done = phone(sys.executable, *command)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_report_by_the_tool(phone: Inside, colours: Path, tmp_path: Path) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(starter(SCRIPT))
    given = ("--benchmark-model", tool, "--out", tmp_path / "reports", "--profile")
    status, said = bench(phone, colours, *given)
    assert status == 0, said
    (path,) = (tmp_path / "reports").glob("*.json")
    report = json.loads(path.read_text())
    assert (report["route"], report["target"]) == ("benchmark_model", "adb")
    assert report["device"]["model"] == "virtual-phone"
    assert len(report["runtime"]["sha256"]) == 64
    assert report["steady_state"]["n"] == 10 * 58
    assert report["steady_state"]["p50_ms"] == 1.694
    assert (report["steady_state"]["samples_ns"], report["steady_state"]["p99_ms"]) == (None, None)
    assert report["affinity"] == [1]  # the fast one
    assert report["temperature_celsius"]["after"]["CPU0"] == 41.3
    assert "throttled: thermal status severe" in report["reasons"]
    assert report["profile"]["operators"][0]["kind"] == "Convolution (NHWC, QC8) IGEMM"
    lines = phone("adb", "shell", "cat", GIVEN).stdout.splitlines()
    assert len(lines) == 11  # ten blocks and the profile
    flags = lines[0].split()
    assert {"--num_runs=5", "--min_secs=0.1", "--num_threads=1", "--use_xnnpack=true"} <= set(flags)
    assert flags[0].startswith("--graph=/data/local/tmp/edgenet/measuring-")
    assert phone("adb", "shell", "ls", "/data/local/tmp/edgenet").stdout.split() == ["tools"]
    # The report can be shown, and compared with itself.
    shown = phone(sys.executable, "-m", "edgenet", "report", str(path), "--out", str(tmp_path / "r.html"))
    assert shown.returncode == 0, shown.stderr
    assert "p99 - ms" in shown.stdout
    same = phone(sys.executable, "-m", "edgenet", "compare", str(path), str(path))
    assert "no difference" in same.stdout, same.stderr


@pytest.mark.parametrize(
    ("content", "more", "found"),
    [
        (b"#!/bin/sh\n" + b" " * 20, (), "it does not begin as ELF files do"),
        (starter(SCRIPT, 62), (), "is for x86_64, and adb is aarch64"),
        (starter("/none.sh"), (), "benchmark_model on adb failed with status"),
        (starter(SCRIPT), ("--sustained", 60), "benchmark_model cannot follow --sustained"),
        (starter(SCRIPT), ("--threads", "1,2"), "cannot follow --threads with several numbers"),
        (starter(SCRIPT), ("--browser",), "cannot follow --browser"),
        (starter("/system/etc/passwd"), (), "failed with status"),
    ],
)
def test_what_cannot_be(
    phone: Inside, colours: Path, tmp_path: Path, content: bytes, more: tuple[object, ...], found: str
) -> None:
    tool = tmp_path / "benchmark_model"
    tool.write_bytes(content)
    status, said = bench(phone, colours, "--benchmark-model", tool, *more)
    assert status == 1, said
    assert found in said
