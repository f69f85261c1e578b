"""`bench --on adb --benchmark-model`: how the program is brought, started and read, on the virtual phone.

Nobody publishes a benchmark_model that runs there (Android's needs bionic), so it is a stand-in: see `phone_parts`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from phone_parts import GIVEN, SCRIPT, dumpsys, stand_in, starter, two_clusters, vendor_programs
from virtual_devices import Inside, running_phone

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A hot phone with two clusters of CPUs, and what the stand-in starts."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), dumpsys=dumpsys(3))
    stand_in(vendor)
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
