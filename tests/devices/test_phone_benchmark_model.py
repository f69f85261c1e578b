"""benchmark_model on a phone: pushed once, pinned, run, and read as a report.

The phone is the virtual one, with the real adbd, mksh and toybox. Its benchmark_model is a stand-in, a static program
for aarch64 that prints what the real one has printed elsewhere (see benchmark_outputs.py), for a program that was built
for Android does not run there. Its cpufreq and its `dumpsys` are made up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmark_outputs import ANDROID, printing
from phone_parts import dumpsys, two_clusters, vendor_programs
from stand_in_program import stand_in
from virtual_devices import Inside, running_phone

pytestmark = pytest.mark.slow
HOME = "/data/local/tmp/edgenet"


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    """A hot phone with two clusters of one CPU each."""
    vendor = vendor_programs(tmp_path_factory.mktemp("vendor"), dumpsys=dumpsys(3))
    cpufreq = two_clusters(tmp_path_factory.mktemp("cpufreq"))
    with running_phone(PHONE_VENDOR=str(vendor), PHONE_CPUFREQ=str(cpufreq)) as inside:
        yield inside


def program_in(folder: Path) -> Path:
    """The stand-in; it notes on which CPUs it runs."""
    before = f"grep Cpus_allowed_list /proc/self/status >>$0.cpus; echo '{ANDROID}' >&2"
    path = folder / "benchmark_model"
    path.write_bytes(stand_in(printing("runs", "delegated", before=before), "aarch64"))
    return path


def bench(phone: Inside, colours: Path, program: Path, *more: str) -> tuple[int, str, str]:
    command = ["bench", str(colours), "--on", "adb", "--benchmark-model", str(program), *more]
    done = phone(sys.executable, "-m", "edgenet", *command)
    return done.returncode, done.stdout, done.stderr


@dataclass(frozen=True)
class Measured:
    """The first measurement on the phone, which brought the program there."""

    program: Path
    out: str


@pytest.fixture(scope="module")
def measured(phone: Inside, colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    program = program_in(tmp_path_factory.mktemp("program"))
    status, out, err = bench(phone, colours, program, "--profile", "--json")
    assert status == 0, err
    return Measured(program, out)


def test_the_route_from_the_program_to_the_report(phone: Inside, measured: Measured) -> None:
    (report,) = json.loads(measured.out)
    assert (report["route"], report["target"]) == ("benchmark_model", "adb")
    assert report["model"]["bundle"]
    assert report["delegate"] == {"name": "XNNPACK", "nodes_taken": 33, "nodes_total": 33, "partitions": 1}
    device = report["device"]
    assert (device["model"], device["soc"], device["os"]) == (
        "edgenet virtual-phone",
        "virtual",
        "Android 14",
    )
    assert (report["steady_state"]["n"], report["steady_state"]["p50_ms"]) == (2830, 3.271)
    assert len(report["profile"]["operators"]) == 33
    assert report["affinity"] == [1]  # the fast one
    assert report["cpu_sets"]["1"] == {"cpus": [1], "max_mhz": 2800.0}
    assert report["governor"] == ["walt"]
    assert report["during"][0]["frequency_mhz"] == {"cpu0": 900.0, "cpu1": 1400.0}
    assert report["during"][0]["temperature_celsius"] == {"CPU0": 41.3, "VIRTUAL-SKIN": 36.9}
    assert "throttled: thermal status severe" in report["reasons"]
    places = phone("adb", "shell", f"cd {HOME}; ls -d tools/*/bin/*; cat tools/*/bin/*.cpus | sort -u")
    short = report["program"]["sha256"][:16]
    assert places.stdout.splitlines() == [
        f"tools/{short}/bin/benchmark_model",
        f"tools/{short}/bin/benchmark_model.calls",
        f"tools/{short}/bin/benchmark_model.cpus",
        "Cpus_allowed_list:\t1",
    ]
    assert phone("adb", "shell", f"ls {HOME}").stdout.split() == ["tools"]  # the model is gone again


def test_the_program_is_pushed_once_and_again_where_it_is_damaged(
    phone: Inside, colours: Path, measured: Measured
) -> None:
    program = measured.program
    place = f"{HOME}/tools/*/bin/benchmark_model"
    first = phone("adb", "shell", f"stat -c %i {place}").stdout
    assert bench(phone, colours, program)[0] == 0
    assert phone("adb", "shell", f"stat -c %i {place}").stdout == first
    phone("adb", "shell", f"echo more >>{place}")
    assert bench(phone, colours, program)[0] == 0
    whole = phone("adb", "shell", f"sha256sum {place}").stdout.split()[0]
    assert whole[:16] in phone("adb", "shell", f"ls {HOME}/tools").stdout


def test_a_program_that_the_phone_cannot_run(phone: Inside, colours: Path, tmp_path: Path) -> None:
    other = tmp_path / "for-pc"
    other.write_bytes(stand_in("exit 0", "x86_64"))
    status, _, err = bench(phone, colours, other)
    assert status == 1
    assert (
        "for-pc is for x86_64, and adb is aarch64; give a benchmark_model that was built for aarch64" in err
    )
    broken = tmp_path / "broken"
    content = bytearray(program_in(tmp_path).read_bytes())
    content[64:68] = (3).to_bytes(4, "little")  # no segment is loaded any more
    broken.write_bytes(content)
    status, _, err = bench(phone, colours, broken)
    assert status == 1
    assert err.startswith("edgenet: broken failed on adb with exit status")


def test_a_phone_that_starts_no_programs(colours: Path, tmp_path: Path) -> None:
    with running_phone(PHONE_DATA="noexec") as phone:
        status, _, err = bench(phone, colours, program_in(tmp_path))
    assert status == 1
    assert "edgenet: adb cannot start benchmark_model: " in err
    assert "Permission denied; its folder is mounted noexec, or Android forbids it" in err


def test_a_cable_pulled_while_it_measures(phone: Inside, colours: Path, tmp_path: Path) -> None:
    program = tmp_path / "benchmark_model"
    program.write_bytes(stand_in("echo started >&2; touch $0.started; sleep 600", "aarch64"))
    text = f"""
import os, subprocess, sys, time
shown = subprocess.Popen([sys.executable, "-m", "edgenet", *sys.argv[1:]], stderr=subprocess.PIPE, text=True)
while subprocess.run(["adb", "shell", "ls {HOME}/tools/*/bin/*.started"], capture_output=True).returncode:
    assert shown.poll() is None
    time.sleep(0.2)
subprocess.run(["adb", "disconnect", os.environ["ANDROID_SERIAL"]], check=True, capture_output=True)
print(shown.stderr.read(), "status:", shown.wait(300))
"""
    command = ["bench", str(colours), "--on", "adb", "--benchmark-model", str(program)]
    done = phone(sys.executable, "-c", text, *command)
    phone("adb", "connect", "127.0.0.1:5555")
    assert "the connection to adb is lost" in done.stdout, done.stdout
    assert "status: 1" in done.stdout
